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

static const hy_plane self_plane;

static hy_status self_open(hy_comm *comm) {
    self_state *state = NULL;
    HY_TRY(HY_NEW("messages to oneself", 1, &state));
    comm->impl = state;
    return HY_OK;
}

hy_status hy_comm_self_create(hy_comm **out) {
    hy_comm *comm = NULL;
    HY_TRY(HY_NEW("communicator", 1, &comm));
    *comm = (hy_comm){.transport = &hy_transport_self, .plane = &self_plane, .rank = 0, .size = 1};
    const hy_status status = self_open(comm);
    if (status != HY_OK) {
        hy_free(comm);
        return status;
    }
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

static void self_close(hy_comm *comm) {
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

static message *add_message(self_state *state) {
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

static void match_or_wait(hy_comm *comm, void *buf, size_t bytes, bool is_send, int tag, hy_req *req) {
    self_state *state = comm->impl;
    message *other = take_match(state, is_send, tag);
    if (!other) {
        message *m = add_message(state);
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

static void self_post(hy_comm *comm, const hy_xfer *x, hy_req *req) {
    switch (x->kind) {
    case HY_X_SEND:
        match_or_wait(comm, (void *)(uintptr_t)x->send, (size_t)x->n, true, x->tag, req);
        break;
    case HY_X_RECV:
        match_or_wait(comm, x->recv, (size_t)x->n, false, x->tag, req);
        break;
    case HY_X_REDUCE_SCATTER:
        self_copy(x->recv, x->send, (size_t)x->n * hy_type_size(x->type));
        break;
    case HY_X_ALL_GATHER:
    case HY_X_ALL_TO_ALL:
        self_copy(x->recv, x->send, (size_t)x->n);
        break;
    case HY_X_ALL_REDUCE:
    case HY_X_BROADCAST:
    case HY_X_KINDS:
        break; /* in place */
    }
}

static void self_barrier(hy_comm *comm, hy_req *req) {
    (void)comm;
    (void)req;
}

static bool self_test(hy_req *req) {
    message *m = req->impl;
    if (!m->done) {
        return false;
    }
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

const hy_transport hy_transport_self = {
    .name = "self",
    .open = self_open,
    .post = self_post,
    .test = self_test,
    .idle = self_idle,
    .progress = self_progress,
    .close = self_close,
};

static const hy_plane self_plane = {
    .transport = &hy_transport_self, .barrier = self_barrier, .split = self_split, .split_host = self_split_host};
