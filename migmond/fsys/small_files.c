/* Small files of one directory, many in one call: what `migmond.mover.copy` and `migmond.mover.commit` do for each of
 * them in Python, by the same system calls, without the interpreter between them.
 *
 * Only what is ordinary is done here. Whatever is not - an attribute, a flag, an owner that cannot be given, a name that
 * is taken, a source that changed, any call that fails - leaves nothing behind and is left to the Python side, which does
 * it from the start and has the words for what is wrong. So there is one place where each case is decided, and this file
 * can be missing.
 *
 * Called through ctypes, which lets other threads run meanwhile: nothing here knows of Python.
 */
#define _GNU_SOURCE
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define GET_FLAGS _IOR('f', 1, long)                   /* FS_IOC_GETFLAGS of linux/fs.h, which may not be there */
#define TELLING_FLAGS (0x8 | 0x10 | 0x20 | 0x40 | 0x80 | 0x10000) /* those that migmond.fsys.flags has to do with */
#define NOREPLACE 1
#define SECOND_NS INT64_C(1000000000)
#define FINEST_STEP_NS 100                             /* see migmond.fsys.times */
#define ACCESS_NS (2 * 86400 * SECOND_NS)
#define COPYING 2                                      /* migmond.wire.slots.Doing */
#define PUBLISHING 4
#define AT_ONCE_NS 1000000                             /* as in migmond.mover.commit */

#define OPERATION 1000000                              /* migmond.wire.budget */
#define BUCKET_BYTES 128
#define WAIT_NS 10000000                               /* who has to wait longer leaves that to his caller, */
#define NAP_NS 2000000                                 /* and looks so often whether something else is wanted */

enum activity { SOURCE_READ = 1, TARGET_WRITE = 2, HASH = 3, METADATA = 4, THROTTLED = 8 }; /* migmond.domain.activity.Activity */
enum kind { BYTES = 0, OPERATIONS = 1, CPU = 2, KINDS = 3 }; /* migmond.wire.budget.Kind */

struct bucket; /* fsys/budget.c */
uint64_t migmond_take(struct bucket *b, uint64_t amount, uint64_t now_ns);
uint64_t migmond_left_ns(const struct bucket *b, uint64_t mark, uint64_t now_ns);
uint64_t migmond_piece(const struct bucket *b);
int migmond_limited(const struct bucket *b);

#ifndef MIGMOND_SOURCES
#define MIGMOND_SOURCES ""
#endif

enum flags {
    MAY_CHOWN = 1,
    LOOK = 2,          /* somebody else's files may be in the target directory */
    PROTECT = 4,       /* the source is going to be deleted: see migmond.fsys.mapped */
    KEEP = 8,          /* keep what was read, to be hashed */
    TIMES_EXACT = 16,  /* the target's file system is known to keep nanoseconds */
};

/* The page of migmond.wire.slots. */
struct slot {
    uint64_t control, unused[7];
    uint64_t started_ns, doing, task, file_bytes, file_done, bytes_total, entries_total, paused;
    uint64_t commit_started_ns, commit_doing, name_sequence, name_length;
    uint64_t spent[16], spent_committing[16];
    char name[8192 - 416 - 8];
    uint64_t kind; /* of the file at hand; never told of those that are copied here */
};
_Static_assert(sizeof(struct slot) == 8192, "migmond.wire.slots.SLOT_BYTES");

/* The records of migmond.wire.work. */
struct file {
    uint64_t number, inode;
    int64_t size, mtime_ns, ctime_ns;
    uint32_t links, unused;
};
struct copy {
    uint64_t number, inode; /* the copy's */
    int64_t size, birth_ns;
    uint64_t attempt;       /* 0: nothing was done, and nothing is left */
    uint64_t digest[2];     /* big-endian, the more significant half first; the caller's to fill in without `hash` */
};
_Static_assert(sizeof(struct file) == 48 && sizeof(struct copy) == 56, "migmond.wire.work");

/* XXH128_hash_t of xxhash.h, and what makes one of some bytes: XXH3_128bits. */
struct hash128 {
    uint64_t low, high;
};
typedef struct hash128 hash_function(const void *, size_t);

/* What may tell of what kind a file is: see migmond.planning.magic, which has them, and all that has to be known. */
struct mark {
    uint16_t offset, length;
    unsigned char bytes[28];
};
#define HEAD_BYTES 2048
#define GLANCE_BYTES 64

struct copies {
    int32_t source_dir, target_dir;
    uint32_t uid, gid, flags, count;
    uint64_t first_attempt;
    int64_t first_time_ns, last_time_ns; /* times between these two are kept by every file system */
    const struct file *files;
    struct copy *copies;        /* out */
    const char *names;          /* one after the other, each ended by NUL */
    const char *prefix, *tag;   /* of temporary names */
    const char *path;           /* of the directory, for people */
    struct slot *slot;
    char *arena;                /* out: contents, one after the other */
    uint64_t last_ns;           /* until when the time has been counted */
    uint64_t arena_size;
    int64_t largest;
    uint64_t names_used;        /* out: bytes of the names that were dealt with */
    uint64_t exact;             /* out: a time with nanoseconds was kept */
    char *budget;               /* the page of migmond.wire.budget, NULL when nothing is limited */
    uint64_t marks[KINDS];      /* out: what has to be allowed before more is done; 0: nothing */
    uint64_t cpu_ns;            /* of this thread, until when it has been paid for; 0: it need not be yet */
    hash_function *hash;        /* NULL: digests are not wanted, or made by the caller of what was kept */
    uint64_t bytes;             /* out: of all copies */
    uint64_t left;              /* out: files that were dealt with and not copied */
    const struct mark *kinds;
    uint64_t kinds_count;
    uint64_t *looks;            /* out, with KEEP, unless it is NULL: where in the arena that is of which the caller has
                                 * to find out the kind, and one more; 0: it is of none of those that are known */
};

struct publications {
    int32_t directory;
    uint32_t count;
    const struct copy *copies;
    const char *names, *prefix, *tag;
    char *done;        /* out: one for each */
    int64_t *given_ns; /* out: when, 0: unknown */
    struct slot *slot;
};

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + now.tv_nsec;
}

#define NO_TIME INT64_MIN /* one that 64 bits of nanoseconds do not hold: before 1677, after 2262 */

static int64_t ns(int64_t seconds, int64_t nanoseconds) {
    int64_t whole;
    if (__builtin_mul_overflow(seconds, SECOND_NS, &whole) || __builtin_add_overflow(whole, nanoseconds, &whole)) {
        return NO_TIME;
    }
    return whole;
}

static struct timespec timespec_of(int64_t at) {
    int64_t seconds = at / SECOND_NS - (at % SECOND_NS < 0);
    return (struct timespec){.tv_sec = seconds, .tv_nsec = at - seconds * SECOND_NS};
}

/* The time until now was spent with that; see migmond.wire.slots.Meter. */
static void lap(struct copies *c, enum activity activity) {
    uint64_t now = now_ns();
    c->slot->spent[activity] += now - c->last_ns;
    c->last_ns = now;
}

/* Tell the daemon which file is at hand since `now`; see MoverSide.file. */
static void show(struct slot *slot, uint64_t now, const char *path, size_t path_length, const char *name, const struct file *r) {
    size_t name_length = strlen(name), whole = path_length ? path_length + 1 + name_length : name_length;
    size_t length = whole < sizeof slot->name ? whole : sizeof slot->name;
    uint64_t sequence = slot->name_sequence + 2;
    __atomic_store_n(&slot->name_sequence, sequence - 1, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    slot->name_length = length;
    slot->kind = 0;
    char *at = slot->name;
    if (path_length) {
        size_t cut = whole - length, kept = path_length > cut ? path_length - cut : 0;
        memcpy(at, path + (path_length - kept), kept);
        at += kept;
        if (at < slot->name + length - name_length) *at++ = '/';
    }
    memcpy(at, name, name_length);
    slot->started_ns = now;
    slot->doing = COPYING;
    slot->task = r->number;
    slot->file_bytes = r->size;
    slot->file_done = 0;
    __atomic_store_n(&slot->name_sequence, sequence, __ATOMIC_RELEASE);
}

static uint64_t cpu_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + now.tv_nsec;
}

static struct bucket *bucket_of(const struct copies *c, enum kind kind) {
    return (struct bucket *)(c->budget + kind * BUCKET_BYTES);
}

/* Pays for a file that was copied and waits until that is allowed; 0 when it takes so long, or
 * something else is wanted, that the caller has to see to it. */
static int paid(struct copies *c, uint64_t bytes) {
    if (!c->budget) return 1;
    uint64_t amounts[KINDS] = {bytes, OPERATION, 0}, taken = 0;
    if (migmond_limited(bucket_of(c, CPU))) {
        uint64_t now = cpu_ns();
        amounts[CPU] = c->cpu_ns ? now - c->cpu_ns : 0;
        c->cpu_ns = now;
    }
    for (int kind = 0; kind < KINDS; kind++) {
        if (!amounts[kind] || !migmond_limited(bucket_of(c, kind))) continue;
        c->marks[kind] = migmond_take(bucket_of(c, kind), amounts[kind], now_ns());
        taken = 1;
    }
    if (!taken) return 1;
    lap(c, METADATA);
    for (;;) {
        uint64_t now = now_ns(), left = 0;
        for (int kind = 0; kind < KINDS; kind++) {
            if (!c->marks[kind]) continue;
            uint64_t more = migmond_left_ns(bucket_of(c, kind), c->marks[kind], now);
            if (more > left) left = more;
        }
        if (!left) break;
        if (left > WAIT_NS || __atomic_load_n(&c->slot->control, __ATOMIC_ACQUIRE)) return 0;
        struct timespec nap = {.tv_nsec = left < NAP_NS ? left : NAP_NS};
        nanosleep(&nap, NULL);
        lap(c, THROTTLED);
        c->slot->started_ns = c->last_ns; /* throttled is not stalled */
    }
    memset(c->marks, 0, sizeof c->marks);
    return 1;
}

static int same_version(const struct file *r, uint64_t inode, int64_t size, int64_t mtime_ns, int64_t ctime_ns) {
    return inode == r->inode && size == r->size && mtime_ns == r->mtime_ns && (r->links != 1 || ctime_ns == r->ctime_ns);
}

static int has_attributes(int fd) {
    char names[1];
    ssize_t size = flistxattr(fd, names, 0);
    return size > 0 || (size < 0 && errno != EOPNOTSUPP);
}

static int has_flags(int fd) {
    unsigned int flags = 0; /* an int is written, whatever the number of the call says */
    if (ioctl(fd, GET_FLAGS, &flags)) return errno != ENOTTY && errno != EOPNOTSUPP;
    return (flags & TELLING_FLAGS) != 0;
}

/* Whether a file is as long as it says, as far as reading tells: one byte more is asked for than there should be. Pseudo
 * files say 0, and what grows meanwhile is noticed afterwards by its size. */
static int read_whole(int fd, char *to, int64_t size) {
    int64_t have = 0;
    do {
        ssize_t got = read(fd, to + have, size + 1 - have);
        if (got < 0) return -1;
        if (got == 0) break;
        have += got;
    } while (have < size);
    return have == size ? 0 : -1;
}

static int write_whole(int fd, const char *from, int64_t size) {
    while (size > 0) {
        ssize_t put = write(fd, from, size);
        if (put <= 0) return -1;
        from += put;
        size -= put;
    }
    return 0;
}

/* Whether a fresh file is its owner's and has the mode that it was made with: before anything is in it, so that nobody
 * looks in who may not, and nothing is written in vain. See migmond.fsys.metadata. */
static int give_owner(int fd, const struct statx *source, const struct stat *now, int ours) {
    uid_t uid = now->st_uid == source->stx_uid ? (uid_t)-1 : source->stx_uid;
    gid_t gid = now->st_gid == source->stx_gid ? (gid_t)-1 : source->stx_gid;
    if (ours) {
        return uid != (uid_t)-1 || gid != (gid_t)-1 || (now->st_mode & 07777) != (source->stx_mode & 07777);
    }
    return (uid != (uid_t)-1 || gid != (gid_t)-1) && fchown(fd, uid, gid);
}

static int set_times(struct copies *c, int fd, int64_t atime_ns, int64_t mtime_ns) {
    struct timespec times[2] = {timespec_of(atime_ns), timespec_of(mtime_ns)};
    if (futimens(fd, times)) return -1;
    int everywhere = mtime_ns >= c->first_time_ns && mtime_ns <= c->last_time_ns && atime_ns >= c->first_time_ns &&
                     atime_ns <= c->last_time_ns;
    if ((c->flags & TIMES_EXACT || c->exact) && everywhere) return 0;
    struct stat st;
    if (fstat(fd, &st)) return -1;
    int64_t accessed = ns(st.st_atim.tv_sec, st.st_atim.tv_nsec);
    if (ns(st.st_mtim.tv_sec, st.st_mtim.tv_nsec) != mtime_ns || accessed == NO_TIME) return -1;
    if (accessed - atime_ns >= ACCESS_NS || atime_ns - accessed >= ACCESS_NS) return -1;
    if (mtime_ns % FINEST_STEP_NS) c->exact = 1;
    return 0;
}

/* From an open source to a complete, closed copy under the temporary name; 0 when it is one. */
static int fill(struct copies *c, const struct file *r, int source, const struct statx *st, const char *temporary, char *to,
                struct copy *made) {
    int ours = st->stx_uid == c->uid && st->stx_gid == c->gid;
    int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    int target = openat(c->target_dir, temporary, flags, ours ? st->stx_mode & 07777 : 0600);
    if (target < 0) return -1;
    struct stat now, after;
    /* In this order: each step relies on those before it. */
    int failed = fstat(target, &now) || give_owner(target, st, &now, ours);
    lap(c, METADATA);
    failed = failed || read_whole(source, to, r->size);
    lap(c, SOURCE_READ);
    failed = failed || write_whole(target, to, r->size);
    lap(c, TARGET_WRITE);
    c->slot->started_ns = c->last_ns;
    if (c->hash && !failed) {
        struct hash128 digest = c->hash(to, r->size);
        made->digest[0] = htobe64(digest.high);
        made->digest[1] = htobe64(digest.low);
        lap(c, HASH);
    }
    failed = failed || (!ours && fchmod(target, st->stx_mode & 07777));
    failed = failed || set_times(c, target, ns(st->stx_atime.tv_sec, st->stx_atime.tv_nsec), r->mtime_ns);
    failed = failed || fstat(source, &after) ||
             !same_version(r, after.st_ino, after.st_size, ns(after.st_mtim.tv_sec, after.st_mtim.tv_nsec),
                           ns(after.st_ctim.tv_sec, after.st_ctim.tv_nsec));
    if (close(target)) failed = 1; /* may report a late write error: it counts */
    if (failed) {
        unlinkat(c->target_dir, temporary, 0);
        return -1;
    }
    made->inode = now.st_ino;
    return 0;
}

/* Whether a content may be of a known kind: it has one of the marks, or may be text. */
int migmond_may_tell(const struct mark *marks, uint64_t count, const unsigned char *head, size_t length) {
    size_t glance = length < GLANCE_BYTES ? length : GLANCE_BYTES, i = 0;
    if (length > HEAD_BYTES) length = HEAD_BYTES;
    while (i < glance && (head[i] >= 32 || (head[i] >= 8 && head[i] <= 13) || head[i] == 27)) i++;
    if (i == glance) return 1;
    for (const struct mark *mark = marks; mark < marks + count; mark++) {
        size_t end = (size_t)mark->offset + mark->length;
        if (end <= length && head[mark->offset] == mark->bytes[0] && !memcmp(head + mark->offset, mark->bytes, mark->length)) {
            return 1;
        }
    }
    return 0;
}

static int copy_one(struct copies *c, const struct file *r, const char *name, const char *temporary, char *to,
                    struct copy *made) {
    struct stat there;
    if (r->size < 0 || r->size > c->largest) return -1;
    if (r->mtime_ns < c->first_time_ns || r->mtime_ns > c->last_time_ns) return -1;
    if (r->ctime_ns < c->first_time_ns || r->ctime_ns > c->last_time_ns) return -1;
    if (c->flags & LOOK && (!fstatat(c->target_dir, name, &there, AT_SYMLINK_NOFOLLOW) || errno != ENOENT)) return -1;
    int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    int source = openat(c->source_dir, name, flags | O_NOATIME);
    if (source < 0 && errno == EPERM) source = openat(c->source_dir, name, flags); /* somebody else's: its atime moves */
    if (source < 0) return -1;
    if (c->flags & PROTECT) sync_file_range(source, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE);
    struct statx st;
    int failed = statx(source, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &st) || !S_ISREG(st.stx_mode) ||
                 !same_version(r, st.stx_ino, st.stx_size, ns(st.stx_mtime.tv_sec, st.stx_mtime.tv_nsec),
                               ns(st.stx_ctime.tv_sec, st.stx_ctime.tv_nsec)) ||
                 ns(st.stx_atime.tv_sec, st.stx_atime.tv_nsec) == NO_TIME ||
                 (int64_t)(st.stx_blocks * 512) < r->size || /* sparse */
                 (st.stx_mode & 07000) || (st.stx_uid != c->uid && !(c->flags & MAY_CHOWN)) ||
                 has_attributes(source) || has_flags(source) ||
                 fill(c, r, source, &st, temporary, to, made);
    close(source);
    if (failed) return -1;
    int64_t born = ns(st.stx_btime.tv_sec, st.stx_btime.tv_nsec);
    made->birth_ns = st.stx_mask & STATX_BTIME && born != NO_TIME ? born : 0;
    return 0;
}

/* Appends `text`, or a number in decimal digits, which end before `end`; NULL when there is no room, or was none before. */
static char *text_at(char *at, const char *end, const char *text) {
    size_t length = strlen(text);
    if (!at || (size_t)(end - at) < length) return NULL;
    memcpy(at, text, length);
    return at + length;
}

static char *number_at(char *at, const char *end, uint64_t number) {
    char digits[20], *first = digits + sizeof digits;
    do *--first = (char)('0' + number % 10);
    while (number /= 10);
    size_t length = digits + sizeof digits - first;
    if (!at || (size_t)(end - at) < length) return NULL;
    memcpy(at, first, length);
    return at + length;
}

/* The temporary name of a task's copy in an attempt (migmond.mover.temporaries); -1 when that is too long for a name. */
static int temporary_name(char name[256], const char *prefix, uint64_t number, const char *tag, uint64_t attempt) {
    const char *end = name + 255;
    char *at = number_at(text_at(name, end, prefix), end, number);
    at = text_at(number_at(text_at(at, end, tag), end, attempt), end, ".part");
    if (!at) return -1;
    *at = 0;
    return 0;
}

/* Copies until all are done, somebody wants something else (the slot's control word), the arena is full, or what was done
 * is more than is allowed so soon. Files longer than what may be moved at once are left to the Python side.
 *
 * Returns how many files were dealt with: those with an `attempt` have a copy under PREFIX NUMBER TAG ATTEMPT ".part",
 * the attempts counted from `first_attempt`; nothing is left of the others, nor of those that come after. */
uint32_t migmond_copy(struct copies *c) {
    struct slot *slot = c->slot;
    size_t path_length = strlen(c->path);
    uint64_t used = 0;
    const char *name = c->names;
    uint32_t i = 0;
    int going = 1;
    c->last_ns = now_ns();
    for (; going && i < c->count; i++, name += strlen(name) + 1) {
        const struct file *r = &c->files[i];
        struct copy *made = &c->copies[i];
        char temporary[256];
        uint64_t piece = c->budget ? migmond_piece(bucket_of(c, BYTES)) : 0;
        if (__atomic_load_n(&slot->control, __ATOMIC_ACQUIRE)) break;
        if (r->size >= 0 && r->size <= c->largest && c->arena_size - used < (uint64_t)r->size + 1) break;
        if (temporary_name(temporary, c->prefix, r->number, c->tag, c->first_attempt + i)) break;
        made->number = r->number;
        made->size = r->size;
        made->attempt = 0;
        c->left += 1;
        if (piece && r->size > 0 && (uint64_t)r->size > piece) continue;
        lap(c, METADATA);
        show(slot, c->last_ns, c->path, path_length, name, r);
        if (copy_one(c, r, name, temporary, c->arena + used, made)) continue;
        made->attempt = c->first_attempt + i;
        c->left -= 1;
        c->bytes += r->size;
        const unsigned char *content = (const unsigned char *)c->arena + used;
        if (c->looks && migmond_may_tell(c->kinds, c->kinds_count, content, r->size)) c->looks[i] = used + 1;
        if (c->flags & KEEP) used += r->size;
        slot->file_done = r->size;
        slot->bytes_total += r->size;
        slot->entries_total += 1;
        going = paid(c, r->size);
    }
    lap(c, METADATA);
    c->names_used = name - c->names;
    return i;
}

/* Gives copies their names where these are free; `done` tells which. Nothing has happened to the others. */
void migmond_publish(struct publications *p) {
    const char *name = p->names;
    for (uint32_t i = 0; i < p->count; i++, name += strlen(name) + 1) {
        const struct copy *r = &p->copies[i];
        struct stat st;
        char temporary[256];
        if (!r->attempt || temporary_name(temporary, p->prefix, r->number, p->tag, r->attempt)) continue;
        p->slot->commit_doing = PUBLISHING;
        p->slot->commit_started_ns = now_ns();
        if (fstatat(p->directory, temporary, &st, AT_SYMLINK_NOFOLLOW) || st.st_ino != r->inode) continue;
        if (!S_ISREG(st.st_mode) || st.st_size != r->size) continue;
        p->done[i] = !renameat2(p->directory, temporary, p->directory, name, NOREPLACE);
        /* A rename moves ctime. Somebody who writes to it right afterwards moves it too: that must not be taken for it. */
        int seen = p->done[i] && !fstatat(p->directory, name, &st, AT_SYMLINK_NOFOLLOW) && st.st_ino == r->inode;
        int at_once = now_ns() - p->slot->commit_started_ns <= AT_ONCE_NS;
        p->given_ns[i] = seen && at_once ? ns(st.st_ctim.tv_sec, st.st_ctim.tv_nsec) : 0;
    }
}

/* What this was compiled from: see migmond.fsys.machine_code. */
const char *migmond_sources(void) { return MIGMOND_SOURCES; }
