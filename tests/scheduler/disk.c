/* A disk that fails when a test says so: preloaded before libc, it answers for files below one folder.
 *
 * The byte at the start of the file DISK_CONTROL says how: 0 not at all; 'S' no space is left; 'R' the file system has
 * become read-only; 'W' writes fail; 'F' fsync fails; 'f' the next fsync fails, and those after it do not, as Linux does
 * it, which then has forgotten what it could not write (https://wiki.postgresql.org/wiki/Fsync_Errors); 'D' the
 * first write after an fsync takes 5 ms longer, and with it each commit; 'K' the process is
 * killed before the write or fsync at which the number in the control's bytes 4 to 7 has come down to zero. The next byte counts, modulo 256, how often it failed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static volatile char *control;
static const char *folder;
static volatile int synced = 1;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("DISK_CONTROL");
    folder = getenv("DISK_FOLDER");
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
    int file = path != NULL && folder != NULL ? real(path, O_RDWR) : -1;
    if (file < 0)
        return;
    void *found = mmap(NULL, 8, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    control = found == MAP_FAILED ? NULL : found;
}

static int below(const char *path) { return strncmp(path, folder, strlen(folder)) == 0; }

static char mode_of(int file) {
    char link[64], path[4096];
    if (control == NULL || control[0] == 0)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return below(path) ? control[0] : 0;
}

static int fail(int error) {
    control[1]++;
    errno = error;
    return -1;
}

static void count_down(char mode) {
    if (mode == 'K' && --*(volatile int *)(control + 4) == 0)
        kill(getpid(), SIGKILL);
}

static int refuses_write(int file) {
    char mode = mode_of(file);
    count_down(mode);
    if (mode == 'D' && synced) {
        synced = 0;
        usleep(5000);
    }
    return mode == 'S' ? ENOSPC : mode == 'R' ? EROFS : mode == 'W' ? EIO : 0;
}

static int refuses_sync(int file) {
    char mode = mode_of(file);
    count_down(mode);
    synced = 1;
    if (mode == 'f')
        control[0] = 0;
    return mode == 'F' || mode == 'f' ? EIO : 0;
}

#define WRITE(result, name, declared, passed)                                                                          \
    result name declared {                                                                                             \
        static result(*real) declared;                                                                                 \
        if (real == NULL)                                                                                              \
            real = dlsym(RTLD_NEXT, #name);                                                                            \
        int error = refuses_write(file);                                                                               \
        return error ? fail(error) : real passed;                                                                      \
    }

WRITE(ssize_t, write, (int file, const void *bytes, size_t size), (file, bytes, size))
WRITE(ssize_t, pwrite, (int file, const void *bytes, size_t size, off_t at), (file, bytes, size, at))
WRITE(ssize_t, pwrite64, (int file, const void *bytes, size_t size, off64_t at), (file, bytes, size, at))
WRITE(int, ftruncate, (int file, off_t size), (file, size))
WRITE(int, ftruncate64, (int file, off64_t size), (file, size))

#define SYNC(name)                                                                                                     \
    int name(int file) {                                                                                               \
        static int (*real)(int);                                                                                       \
        if (real == NULL)                                                                                              \
            real = dlsym(RTLD_NEXT, #name);                                                                            \
        int error = refuses_sync(file);                                                                                \
        return error ? fail(error) : real(file);                                                                       \
    }

SYNC(fsync)
SYNC(fdatasync)

static int refuses_open(const char *path, int flags) {
    if (control == NULL || !below(path))
        return 0;
    if (control[0] == 'R' && (flags & (O_CREAT | O_WRONLY | O_RDWR)) != 0)
        return EROFS;
    return control[0] == 'S' && (flags & O_CREAT) != 0 && access(path, F_OK) != 0 ? ENOSPC : 0;
}

#define OPEN(name, declared, passed)                                                                                   \
    int name declared {                                                                                                \
        static int(*real) declared;                                                                                    \
        if (real == NULL)                                                                                              \
            real = dlsym(RTLD_NEXT, #name);                                                                            \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        int mode = va_arg(rest, int);                                                                                  \
        va_end(rest);                                                                                                  \
        int error = refuses_open(path, flags);                                                                         \
        return error ? fail(error) : real passed;                                                                      \
    }

OPEN(open, (const char *path, int flags, ...), (path, flags, mode))
OPEN(open64, (const char *path, int flags, ...), (path, flags, mode))
OPEN(openat, (int at, const char *path, int flags, ...), (at, path, flags, mode))
OPEN(openat64, (int at, const char *path, int flags, ...), (at, path, flags, mode))
