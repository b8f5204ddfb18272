/* A disk that fails, put in front of the real one with LD_PRELOAD.
 *
 * Below CHAOS_ROOT every write, truncation, rename and removal is noted with what it took the place of, in a journal
 * of the process below CHAOS_DIR, and every fsync with its path. What was not synced when the power went can then be
 * taken back (`chaos_power.py`); a file that is removed is kept in CHAOS_DIR for that. Files in CHAOS_DIR switch faults on:
 *
 *   full    writes fail with ENOSPC
 *   slow    fsync takes 150 ms
 *   nosync  fsync does nothing and says that it did
 *
 * A record is: kind (1 byte), length of the path (4), path, length of the second path or of the old bytes (8), the
 * same, offset (8), old size (8); numbers are little endian.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static const char *root, *control;
static int journal = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_ftruncate)(int, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_rename)(const char *, const char *);
static int (*real_unlink)(const char *);

__attribute__((constructor)) static void begin(void) {
    root = getenv("CHAOS_ROOT");
    control = getenv("CHAOS_DIR");
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_rename = dlsym(RTLD_NEXT, "rename");
    real_unlink = dlsym(RTLD_NEXT, "unlink");
}

static int below(const char *path) {
    return root && control && strncmp(path, root, strlen(root)) == 0;
}

/* Writes the path of a descriptor if it is a file or directory that we look after. */
static int known(int fd, char *path) {
    char link[64];
    if (!root || !control) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, 4095);
    if (length <= 0) return 0;
    path[length] = 0;
    return below(path);
}

static int switched(const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", control, name);
    return access(path, F_OK) == 0;
}

static void put(const void *data, size_t size) {
    const char *at = data;
    while (size) {
        ssize_t done = real_write(journal, at, size);
        if (done <= 0) abort();
        at += done;
        size -= (size_t)done;
    }
}

static void note(char kind, const char *path, const void *old, uint64_t old_length, uint64_t offset, uint64_t size) {
    if (journal < 0) {
        char name[4096];
        snprintf(name, sizeof name, "%s/journal-%d", control, getpid());
        journal = open(name, O_WRONLY | O_CREAT | O_APPEND, 0600);
        if (journal < 0) abort();
    }
    uint32_t length = (uint32_t)strlen(path);
    put(&kind, 1);
    put(&length, 4);
    put(path, length);
    put(&old_length, 8);
    put(old, old_length);
    put(&offset, 8);
    put(&size, 8);
}

/* Notes what is from `offset` on, at most `length` bytes, before it is changed. */
static void note_old(char kind, int fd, const char *path, off_t offset, size_t length) {
    struct stat found;
    char reopened[64];
    if (fstat(fd, &found) != 0 || !S_ISREG(found.st_mode)) return;
    size_t kept = offset < found.st_size ? (size_t)(found.st_size - offset) : 0;
    if (kept > length) kept = length;
    char *old = malloc(kept + 1);
    snprintf(reopened, sizeof reopened, "/proc/self/fd/%d", fd); /* it may be open for writing only */
    int reader = kept ? open(reopened, O_RDONLY) : -1;
    ssize_t got = reader < 0 ? 0 : pread(reader, old, kept, offset);
    if (reader >= 0) close(reader);
    note(kind, path, old, got < 0 ? 0 : (uint64_t)got, (uint64_t)offset, (uint64_t)found.st_size);
    free(old);
}

ssize_t write(int fd, const void *data, size_t size) {
    char path[4096];
    if (!real_write) real_write = dlsym(RTLD_NEXT, "write");
    if (!known(fd, path)) return real_write(fd, data, size);
    if (switched("full")) { errno = ENOSPC; return -1; }
    pthread_mutex_lock(&lock);
    struct stat found;
    int appends = fcntl(fd, F_GETFL) & O_APPEND;
    off_t at = appends && fstat(fd, &found) == 0 ? found.st_size : lseek(fd, 0, SEEK_CUR);
    if (at >= 0) note_old('W', fd, path, at, size);
    ssize_t done = real_write(fd, data, size);
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t pwrite64(int fd, const void *data, size_t size, off_t offset) {
    char path[4096];
    if (!known(fd, path)) return real_pwrite(fd, data, size, offset);
    if (switched("full")) { errno = ENOSPC; return -1; }
    pthread_mutex_lock(&lock);
    note_old('W', fd, path, offset, size);
    ssize_t done = real_pwrite(fd, data, size, offset);
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return pwrite64(fd, data, size, offset); }

int ftruncate64(int fd, off_t size) {
    char path[4096];
    if (!known(fd, path)) return real_ftruncate(fd, size);
    pthread_mutex_lock(&lock);
    note_old('W', fd, path, size, SIZE_MAX);
    int done = real_ftruncate(fd, size);
    pthread_mutex_unlock(&lock);
    return done;
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

static int synced(int fd, int (*sync)(int)) {
    char path[4096];
    if (!known(fd, path)) return sync(fd);
    if (switched("nosync")) return 0;
    if (switched("slow")) usleep(150000);
    pthread_mutex_lock(&lock);
    int done = sync(fd);
    if (done == 0) note('S', path, "", 0, 0, 0);
    pthread_mutex_unlock(&lock);
    return done;
}

int fsync(int fd) { return synced(fd, real_fsync); }

int fdatasync(int fd) { return synced(fd, real_fdatasync); }

int rename(const char *from, const char *to) {
    if (!below(to)) return real_rename(from, to);
    pthread_mutex_lock(&lock);
    int done = real_rename(from, to);
    if (done == 0) note('R', to, from, strlen(from), 0, 0);
    pthread_mutex_unlock(&lock);
    return done;
}

int unlink(const char *path) {
    static int number;
    char kept[4096];
    if (!below(path)) return real_unlink(path);
    pthread_mutex_lock(&lock);
    snprintf(kept, sizeof kept, "%s/removed-%d-%d", control, getpid(), number++);
    int linked = link(path, kept) == 0;
    int done = real_unlink(path);
    if (linked && done == 0) note('U', path, kept, strlen(kept), 0, 0);
    if (linked && done != 0) real_unlink(kept);
    pthread_mutex_unlock(&lock);
    return done;
}
