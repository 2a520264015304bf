#include "standin_pipes.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { PIPE_BYTES = 1 << 15, OPEN_SECONDS = 60 };

typedef struct one_pipe {
    _Atomic uint64_t written, read; /* bytes since the start */
    char data[PIPE_BYTES];
} one_pipe;

typedef struct shared_pipes {
    _Atomic int pids[STANDIN_RANKS]; /* 0: not there yet; −1: has closed it */
    one_pipe pipes[];                /* [from · size + to] */
} shared_pipes;

struct standin_pipes {
    int rank, size;
    size_t bytes;
    shared_pipes *shared;
};

static size_t shared_bytes(int size) {
    return sizeof(shared_pipes) + sizeof(one_pipe) * (size_t)size * (size_t)size;
}

static bool all_there(const standin_pipes *p) {
    for (int i = 0; i < p->size; i++) {
        if (atomic_load(&p->shared->pids[i]) == 0) {
            return false;
        }
    }
    return true;
}

static bool wait_for_all(const standin_pipes *p) {
    const struct timespec millisecond = {.tv_nsec = 1000000};
    for (int i = 0; i < OPEN_SECONDS * 1000; i++) {
        if (all_there(p)) {
            return true;
        }
        (void)nanosleep(&millisecond, NULL);
    }
    return false;
}

standin_pipes *standin_pipes_open(const char *name, int rank, int size) {
    standin_pipes *p = calloc(1, sizeof *p);
    *p = (standin_pipes){.rank = rank, .size = size, .bytes = shared_bytes(size)};
    const int file = shm_open(name, O_RDWR | O_CREAT, 0600);
    const int error = file < 0 ? errno : posix_fallocate(file, 0, (off_t)p->bytes); /* a full /dev/shm is said now */
    if (error != 0) {
        fprintf(stderr, "NCCL stand-in: %s: %s\n", name, strerror(error));
        free(p);
        return NULL;
    }
    void *mapped = mmap(NULL, p->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    (void)close(file);
    if (mapped == MAP_FAILED) {
        free(p);
        return NULL;
    }
    p->shared = mapped;
    atomic_store(&p->shared->pids[rank], (int)getpid());
    const bool complete = wait_for_all(p);
    (void)shm_unlink(name); /* everybody has it, or nobody will */
    if (!complete) {
        standin_pipes_close(p);
        return NULL;
    }
    return p;
}

void standin_pipes_close(standin_pipes *p) {
    atomic_store(&p->shared->pids[p->rank], -1);
    (void)munmap(p->shared, p->bytes);
    free(p);
}

bool standin_pipes_lost(const standin_pipes *p, int *rank) {
    for (*rank = 0; *rank < p->size; ++*rank) {
        const int pid = atomic_load(&p->shared->pids[*rank]);
        if (*rank != p->rank && pid > 0 && kill(pid, 0) != 0) {
            return true;
        }
    }
    return false;
}

/* ---- messages ---- */

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* n bytes at a place of the pipe's data, which goes round. */
static void pipe_put(one_pipe *pipe, uint64_t place, const void *from, uint64_t n) {
    const uint64_t at = place % PIPE_BYTES, first = least(n, PIPE_BYTES - at);
    memcpy(pipe->data + at, from, first);
    memcpy(pipe->data, (const char *)from + first, n - first);
}

static void pipe_get(const one_pipe *pipe, uint64_t place, void *to, uint64_t n) {
    const uint64_t at = place % PIPE_BYTES, first = least(n, PIPE_BYTES - at);
    memcpy(to, pipe->data + at, first);
    memcpy((char *)to + first, pipe->data, n - first);
}

static bool move_out(standin_side *s, one_pipe *pipe) {
    const uint64_t written = atomic_load(&pipe->written), room = PIPE_BYTES - (written - atomic_load(&pipe->read));
    if (!s->begun) {
        if (room < PIPE_BYTES) {
            return false; /* the message before is not taken yet */
        }
        pipe_put(pipe, written, &s->message, sizeof s->message);
        atomic_store(&pipe->written, written + sizeof s->message);
        s->begun = true;
        return true;
    }
    const uint64_t n = least(room, s->message.bytes - s->moved);
    if (n > 0) {
        pipe_put(pipe, written, s->at + s->moved, n);
        atomic_store(&pipe->written, written + n);
        s->moved += n;
    }
    s->done = s->moved == s->message.bytes && atomic_load(&pipe->read) == atomic_load(&pipe->written);
    return n > 0 || s->done;
}

static void compare(const standin_side *s, const standin_message *came) {
    const standin_message *m = &s->message;
    if (came->kind != m->kind || came->number != m->number || came->bytes != m->bytes) {
        fprintf(stderr,
                "NCCL stand-in: different order on two ranks: rank %d expects kind %d, number %lld, %lld bytes of rank "
                "%d, which sends kind %d, number %lld, %lld bytes\n",
                s->pipes->rank, (int)m->kind, (long long)m->number, (long long)m->bytes, s->peer, (int)came->kind,
                (long long)came->number, (long long)came->bytes);
        abort();
    }
}

static void compare_places(const standin_side *s, const standin_message *came) {
    if (came->place != s->message.place) {
        fprintf(
            stderr,
            "NCCL stand-in: kind %d, number %lld lies at %lld of a symmetric window on rank %d, at %lld on rank %d\n",
            (int)came->kind, (long long)came->number, (long long)s->message.place, s->pipes->rank,
            (long long)came->place, s->peer);
        abort();
    }
}

static bool move_in(standin_side *s, one_pipe *pipe) {
    const uint64_t read = atomic_load(&pipe->read), there = atomic_load(&pipe->written) - read;
    if (!s->begun) {
        standin_message came;
        if (there < sizeof came) {
            return false;
        }
        pipe_get(pipe, read, &came, sizeof came);
        compare(s, &came);
        compare_places(s, &came);
        atomic_store(&pipe->read, read + sizeof came);
        s->begun = true;
        s->done = came.bytes == 0;
        return true;
    }
    const uint64_t n = least(there, s->message.bytes - s->moved);
    if (n > 0) {
        pipe_get(pipe, read, s->at + s->moved, n);
        atomic_store(&pipe->read, read + n);
        s->moved += n;
    }
    s->done = s->moved == s->message.bytes;
    return n > 0;
}

bool standin_side_move(standin_side *s) {
    const standin_pipes *p = s->pipes;
    const int from = s->sends ? p->rank : s->peer, to = s->sends ? s->peer : p->rank;
    one_pipe *pipe = &p->shared->pipes[from * p->size + to];
    return s->sends ? move_out(s, pipe) : move_in(s, pipe);
}
