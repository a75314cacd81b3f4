/* The tenant of tests/hostile/test_races.py: does its acts below its working directory, over and over, as fast as it can.
 *
 *     racer CONTROL-FD ROUNDS ACT PATH PATH [ROUNDS ACT PATH PATH ...]
 *
 * An act is done in every ROUNDS-th round: exchange, move (never over a name), link, unlink, mkdir, scribble (writes into the
 * file, through a descriptor that it keeps open). The control page is shared with the test: see `struct page`.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAUSED = 1, RUNNING = 2, MAX_ACTS = 256 };

struct page {
    _Atomic uint64_t wanted, state, done; /* what the test wants, what we do, all acts that succeeded */
    _Atomic uint64_t by_act[MAX_ACTS];
};

struct act {
    long rounds;
    const char *name, *one, *other;
    int fd; /* of scribble, -1 where it has none yet */
    unsigned turn;
    char first;
    off_t size;
};

static int scribble(struct act *act)
{
    struct stat there, ours;
    if (act->fd < 0 || (stat(act->one, &there) == 0 && fstat(act->fd, &ours) == 0 && there.st_ino != ours.st_ino)) {
        if (act->fd >= 0)
            close(act->fd);
        act->fd = open(act->one, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (act->fd < 0 || fstat(act->fd, &ours) != 0 || pread(act->fd, &act->first, 1, 0) != 1)
            return -1;
        act->turn = 0;
        act->size = ours.st_size;
    }
    switch (act->turn++ % 4) { /* every second state is the file as it was */
    case 0:
        return pwrite(act->fd, "!", 1, 0) == 1 ? 0 : -1;
    case 1:
        return pwrite(act->fd, &act->first, 1, 0) == 1 ? 0 : -1;
    case 2:
        return pwrite(act->fd, "more", 4, act->size) == 4 ? 0 : -1;
    default:
        return ftruncate(act->fd, act->size);
    }
}

static int perform(struct act *act)
{
    if (strcmp(act->name, "exchange") == 0)
        return renameat2(AT_FDCWD, act->one, AT_FDCWD, act->other, RENAME_EXCHANGE);
    if (strcmp(act->name, "move") == 0)
        return renameat2(AT_FDCWD, act->one, AT_FDCWD, act->other, RENAME_NOREPLACE);
    if (strcmp(act->name, "link") == 0)
        return link(act->one, act->other);
    if (strcmp(act->name, "unlink") == 0)
        return unlink(act->one);
    if (strcmp(act->name, "mkdir") == 0)
        return mkdir(act->one, 0700);
    if (strcmp(act->name, "scribble") == 0)
        return scribble(act);
    fprintf(stderr, "racer: no such act: %s\n", act->name);
    exit(2);
}

static void wait_while_paused(struct page *page)
{
    if (page->wanted == RUNNING && page->state == RUNNING)
        return;
    page->state = PAUSED;
    for (unsigned turn = 0; page->wanted == PAUSED; turn++) {
        if (turn < 1000)
            sched_yield();
        else
            usleep(20); /* the test is judging: leave it the core */
    }
    page->state = RUNNING;
}

int main(int argc, char **argv)
{
    static struct act acts[MAX_ACTS];
    int count = 0;
    for (int at = 2; at + 3 < argc && count < MAX_ACTS; at += 4)
        acts[count++] = (struct act){.rounds = atol(argv[at]), .name = argv[at + 1], .one = argv[at + 2], .other = argv[at + 3], .fd = -1};
    if (count == 0)
        return 2;
    struct page *page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, atoi(argv[1]), 0);
    if (page == MAP_FAILED || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        return 2;
    for (uint64_t round = 1;; round++) {
        for (int at = 0; at < count; at++) {
            wait_while_paused(page);
            if (round % acts[at].rounds == 0 && perform(&acts[at]) == 0) {
                page->by_act[at]++;
                page->done++;
            }
        }
    }
}
