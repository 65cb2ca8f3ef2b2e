/* The entries of a directory with what lstat tells of each, many in one call: see migmond.fsys.listing. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

struct record {
    uint64_t inode, device;
    int64_t size, blocks, mtime_ns, ctime_ns;
    uint32_t mode, links;
};

struct page {
    int32_t directory;
    uint32_t most;       /* records that there is room for */
    struct record *records;
    char *names;         /* one after the other, each ended by NUL */
    uint64_t names_size;
    char *buffer;        /* of getdents64: what is left in it is read first by the next call */
    uint64_t buffer_size;
    uint64_t at, end;    /* of what is left there; 0 both for a fresh directory */
    uint64_t used;       /* out: bytes of names */
};

struct dirent64 {
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[];
};

/* Nanoseconds, or INT64_MIN for a time that 64 bits of them do not hold: before 1677, after 2262. */
static int64_t ns(struct timespec t) {
    int64_t whole;
    if (__builtin_mul_overflow((int64_t)t.tv_sec, INT64_C(1000000000), &whole) ||
        __builtin_add_overflow(whole, (int64_t)t.tv_nsec, &whole)) {
        return INT64_MIN;
    }
    return whole;
}

/* Fills a page; returns how many entries it has, 0 at the end of the directory, or the negative number of an error.
 * Entries that vanish between reading their names and looking at them are left out. */
int32_t migmond_list(struct page *p) {
    uint32_t count = 0;
    p->used = 0;
    while (count < p->most) {
        if (p->at >= p->end) {
            if (count) break; /* what is known is told before the next call that may block */
            long got = syscall(SYS_getdents64, p->directory, p->buffer, p->buffer_size);
            if (got < 0) return -errno;
            if (got == 0) return 0;
            p->at = 0;
            p->end = got;
        }
        const struct dirent64 *entry = (const struct dirent64 *)(p->buffer + p->at);
        const char *name = entry->name;
        size_t length = strlen(name) + 1;
        if (p->names_size - p->used < length) break;
        int itself = name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
        struct stat st;
        if (itself || fstatat(p->directory, name, &st, AT_SYMLINK_NOFOLLOW)) {
            if (!itself && errno != ENOENT) {
                if (count) break; /* it is met again by the next call, which tells of it */
                return -errno;
            }
            p->at += entry->length;
            continue;
        }
        p->at += entry->length;
        p->records[count++] = (struct record){
            st.st_ino, st.st_dev, st.st_size, st.st_blocks, ns(st.st_mtim), ns(st.st_ctim), st.st_mode, st.st_nlink,
        };
        memcpy(p->names + p->used, name, length);
        p->used += length;
    }
    return count;
}
