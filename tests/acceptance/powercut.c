/* Preloaded into every process of a test: what has been f(data)sync'ed, of files whose path begins with
   $WATCHED, is copied to the folder $SHADOW. So that folder holds what a power cut would surely leave.
   (Removed files stay in it: SQLite's checkpoint has then synced the database, and an old log changes nothing.) */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static void copy(int fd) {
    const char *watched = getenv("WATCHED"), *shadow = getenv("SHADOW");
    char link[64], path[PATH_MAX], made[PATH_MAX], target[PATH_MAX];
    static char bytes[1 << 20];
    ssize_t length;
    off_t at = 0;
    int folder, to;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof path - 1);
    if (!watched || !shadow || length < 0) return;
    path[length] = 0;
    if (strncmp(path, watched, strlen(watched))) return;
    snprintf(made, sizeof made, "%s/new", shadow);
    snprintf(target, sizeof target, "%s/%s", shadow, strrchr(path, '/') + 1);
    folder = open(shadow, O_RDONLY | O_CLOEXEC);
    flock(folder, LOCK_EX); /* one copy at a time, or an older one could come last */
    to = open(made, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    /* By the same descriptor: closing another one of this file would drop SQLite's locks. */
    while ((length = pread(fd, bytes, sizeof bytes, at)) > 0) {
        if (write(to, bytes, length) != length) abort();
        at += length;
    }
    close(to);
    rename(made, target);
    close(folder);
}

int fsync(int fd) {
    int result = ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
    if (!result) copy(fd);
    return result;
}

int fdatasync(int fd) {
    int result = ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
    if (!result) copy(fd);
    return result;
}
