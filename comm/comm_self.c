/* One rank: collectives are copies. A send to oneself waits in a list for its receive, or the other way round; equal
 * tags match in posting order. */
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "comm/comm_internal.h"

typedef struct message {
    struct message *next; /* posting order */
    void *buf;
    size_t bytes;
    int tag;
    bool is_send, done;
} message;

typedef struct self_state {
    message *posted; /* not yet matched */
    message *spare;
} self_state;

static const hy_comm_table self_table;

hy_status hy_comm_self_create(hy_comm **out) {
    hy_comm *comm = NULL;
    HY_TRY(HY_NEW("communicator", 1, &comm));
    self_state *state = NULL;
    const hy_status status = HY_NEW("messages to oneself", 1, &state);
    if (status != HY_OK) {
        hy_free(comm);
        return status;
    }
    *comm = (hy_comm){.table = &self_table, .rank = 0, .size = 1, .impl = state};
    *out = comm;
    return HY_OK;
}

static void free_list(message *list) {
    while (list) {
        message *next = list->next;
        hy_free(list);
        list = next;
    }
}

static void self_destroy(hy_comm *comm) {
    self_state *state = comm->impl;
    free_list(state->posted);
    free_list(state->spare);
    hy_free(state);
}

static hy_status self_split(hy_comm *parent, int color, int key, int members, hy_comm **out) {
    (void)parent;
    (void)key;
    (void)members;
    *out = NULL;
    return color < 0 ? HY_OK : hy_comm_self_create(out);
}

static void self_copy(void *to, const void *from, size_t bytes) {
    if (to != from && bytes > 0) {
        memcpy(to, from, bytes);
    }
}

static void self_gather(hy_comm *comm, const void *send, void *recv, size_t bytes, hy_req *req) {
    (void)comm;
    (void)req;
    self_copy(recv, send, bytes);
}

static void self_all_reduce(hy_comm *comm, void *buf, int64_t n, hy_type type, hy_reduce op, hy_req *req) {
    (void)comm;
    (void)buf;
    (void)n;
    (void)type;
    (void)op;
    (void)req;
}

static void self_reduce_scatter(hy_comm *comm, const void *send, void *recv, int64_t n, hy_type type, hy_req *req) {
    (void)comm;
    (void)req;
    self_copy(recv, send, (size_t)n * hy_type_size(type));
}

static void self_broadcast(hy_comm *comm, void *buf, size_t bytes, int root, hy_req *req) {
    (void)comm;
    (void)buf;
    (void)bytes;
    (void)root;
    (void)req;
}

/* Takes the oldest posted message of the other direction with this tag out of the list, or gives NULL. */
static message *take_match(self_state *state, bool is_send, int tag) {
    for (message **link = &state->posted; *link; link = &(*link)->next) {
        message *m = *link;
        if (m->is_send != is_send && m->tag == tag) {
            *link = m->next;
            m->next = NULL;
            return m;
        }
    }
    return NULL;
}

static message *self_post(self_state *state) {
    message *m = state->spare;
    if (m) {
        state->spare = m->next;
    } else if (HY_NEW("message to oneself", 1, &m) != HY_OK) {
        hy_comm_abort(HY_ERR_MEMORY);
    }
    message **link = &state->posted;
    while (*link) {
        link = &(*link)->next;
    }
    *link = m;
    return m;
}

static void match_or_post(hy_comm *comm, void *buf, size_t bytes, bool is_send, int tag, hy_req *req) {
    self_state *state = comm->impl;
    message *other = take_match(state, is_send, tag);
    if (!other) {
        message *m = self_post(state);
        *m = (message){.buf = buf, .bytes = bytes, .tag = tag, .is_send = is_send};
        req->impl = m;
        return;
    }
    if (is_send) {
        self_copy(other->buf, buf, bytes);
    } else {
        self_copy(buf, other->buf, other->bytes);
    }
    other->done = true;
}

static void self_send(hy_comm *comm, const void *buf, size_t bytes, int to, int tag, hy_req *req) {
    (void)to;
    match_or_post(comm, (void *)(uintptr_t)buf, bytes, true, tag, req);
}

static void self_recv(hy_comm *comm, void *buf, size_t bytes, int from, int tag, hy_req *req) {
    (void)from;
    match_or_post(comm, buf, bytes, false, tag, req);
}

static void self_barrier(hy_comm *comm, hy_req *req) {
    (void)comm;
    (void)req;
}

static bool self_test(hy_req *req, double *completed) {
    message *m = req->impl;
    if (!m->done) {
        return false;
    }
    *completed = req->posted;
    self_state *state = req->comm->impl;
    m->next = state->spare;
    state->spare = m;
    req->impl = NULL;
    return true;
}

static void self_idle(const hy_req *req) {
    const message *m = req->impl;
    hy_log(HY_LOG_ERROR, "a %s of %zu bytes to oneself with tag %d has no counterpart: it would wait for ever",
           m->is_send ? "send" : "receive", m->bytes, m->tag);
    hy_comm_abort(HY_ERR_COMM);
}

static void self_progress(void) {}

static hy_status self_split_host(hy_comm *parent, hy_comm **out) {
    return self_split(parent, 0, 0, 1, out);
}

static const hy_comm_table self_table = {
    .name = "self",
    .all_gather = self_gather,
    .all_reduce = self_all_reduce,
    .reduce_scatter = self_reduce_scatter,
    .all_to_all = self_gather,
    .broadcast = self_broadcast,
    .send = self_send,
    .recv = self_recv,
    .barrier = self_barrier,
    .test = self_test,
    .idle = self_idle,
    .progress = self_progress,
    .split = self_split,
    .split_host = self_split_host,
    .destroy = self_destroy,
};
