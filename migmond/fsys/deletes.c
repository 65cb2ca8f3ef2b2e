/* Sources of one directory, many in one call: what `migmond.mover.delete` does for each of them in Python, by the same
 * system calls in the same order, without the interpreter between them.
 *
 * Only what is ordinary is done here: a regular file with one name, exactly as it was scanned, whose copy is exactly as
 * it was published. In any doubt the source has its name again, and is left to the Python side, which looks at it from
 * the start and has the words for what is wrong.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NOREPLACE 1
#define SECOND_NS INT64_C(1000000000)
#define DELETING 5 /* migmond.wire.slots.Doing */

/* What became of a source. */
enum fate {
    LEFT = 0,     /* nothing was done */
    DELETED = 1,
    PUT_BACK = 2, /* it has its name again: that moved its ctime */
    ASIDE = 3,    /* it is under its private name: something has its own, or it could not be given back */
};

struct source {
    uint64_t number, inode, copy_inode;
    int64_t size, mtime_ns, ctime_ns;
    int64_t published_ns; /* the copy was not touched later */
    int64_t put_back_ns;  /* out: its ctime then */
    uint64_t fate;        /* out */
};
_Static_assert(sizeof(struct source) == 72, "migmond.fsys.deletes");

struct deletes {
    int32_t source_dir, target_dir;
    const char *names, *copies; /* of the sources and of their copies, each ended by NUL */
    const char *prefix;         /* of private names: PREFIX NUMBER ".source" */
    struct source *sources;
    uint64_t *started_ns, *doing; /* of the slot */
    uint32_t count;
};

static int64_t ns(struct timespec at) {
    int64_t whole;
    if (__builtin_mul_overflow(at.tv_sec, SECOND_NS, &whole) || __builtin_add_overflow(whole, at.tv_nsec, &whole)) {
        return INT64_MIN;
    }
    return whole;
}

static int same_version(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size && ns(a->st_mtim) == ns(b->st_mtim);
}

/* The last looks, when the source is aside: nothing comes in between any more. */
static int may_go(struct deletes *d, int held, const char *private, const char *copy_name, const struct stat *seen,
                  const struct stat *copy) {
    struct stat aside, shown, now;
    if (fstatat(d->source_dir, private, &aside, AT_SYMLINK_NOFOLLOW) || !same_version(&aside, seen)) return 0;
    /* The target's directory must not know the private name: else it is the source's, whatever its numbers say. */
    if (!fstatat(d->target_dir, private, &shown, AT_SYMLINK_NOFOLLOW) || errno != ENOENT) return 0;
    if (fcntl(held, F_GETLEASE) != F_RDLCK) return 0; /* somebody opened it by its name, and waits for us */
    return !fstatat(d->target_dir, copy_name, &now, AT_SYMLINK_NOFOLLOW) && same_version(copy, &now);
}

static enum fate delete_held(struct deletes *d, struct source *s, int held, const char *name, const char *private,
                             const char *copy_name, const struct stat *seen, const struct stat *copy) {
    struct stat now;
    if (fstat(held, &now) || now.st_dev != seen->st_dev || now.st_ino != seen->st_ino || ns(now.st_ctim) != ns(seen->st_ctim)) {
        return LEFT;
    }
    if (flock(held, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK) return LEFT;
    if (renameat2(d->source_dir, name, d->source_dir, private, NOREPLACE)) return LEFT;
    if (may_go(d, held, private, copy_name, seen, copy) && !unlinkat(d->source_dir, private, 0)) return DELETED;
    if (renameat2(d->source_dir, private, d->source_dir, name, NOREPLACE) || fstat(held, &now)) return ASIDE;
    s->put_back_ns = ns(now.st_ctim);
    return PUT_BACK;
}

static enum fate delete_one(struct deletes *d, struct source *s, const char *name, const char *copy_name) {
    struct stat seen, copy;
    char private[256];
    int length = snprintf(private, sizeof private, "%s%llu.source", d->prefix, (unsigned long long)s->number);
    if (length < 0 || length >= (int)sizeof private) return LEFT;
    if (fstatat(d->source_dir, name, &seen, AT_SYMLINK_NOFOLLOW)) return LEFT;
    if (!S_ISREG(seen.st_mode) || seen.st_nlink != 1 || seen.st_ino != s->inode || seen.st_size != s->size) return LEFT;
    if (ns(seen.st_mtim) != s->mtime_ns || ns(seen.st_ctim) != s->ctime_ns) return LEFT;
    if (fstatat(d->target_dir, copy_name, &copy, AT_SYMLINK_NOFOLLOW)) return LEFT;
    if (!S_ISREG(copy.st_mode) || copy.st_ino != s->copy_inode || copy.st_size != s->size) return LEFT;
    if (ns(copy.st_mtim) != s->mtime_ns || ns(copy.st_ctim) > s->published_ns) return LEFT;
    if (copy.st_dev == seen.st_dev && copy.st_ino == seen.st_ino) return LEFT;
    int held = openat(d->source_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOATIME);
    if (held < 0) return LEFT;
    enum fate fate = LEFT;
    /* Nobody has it open for writing, nor opens it so before it is gone (design page HAZARDS row 27). */
    if (!fcntl(held, F_SETLEASE, F_RDLCK)) fate = delete_held(d, s, held, name, private, copy_name, &seen, &copy);
    close(held); /* the lease and the lock go with it */
    return fate;
}

void migmond_delete(struct deletes *d) {
    const char *name = d->names, *copy = d->copies;
    for (uint32_t i = 0; i < d->count; i++, name += strlen(name) + 1, copy += strlen(copy) + 1) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        *d->doing = DELETING;
        *d->started_ns = (uint64_t)ns(now);
        d->sources[i].fate = delete_one(d, &d->sources[i], name, copy);
    }
}
