/* Exchanges over UCX: tag-matched messages of libucp, and what exchanges.c makes of them. A worker per communicator, with an endpoint to each
 * rank; their addresses travel over the control plane, nothing else does. Memory is the host's.
 *
 * Endpoints to other hosts report that their peer is gone. Those on one host do not, because that would cost shared memory; there the launcher
 * notices. Beside that, a rank that looks for longer than the limit of hy_comm_set_limit and sees nothing come ends the job. */
#ifdef HY_HAVE_UCX
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/signals.h"
#include "comm/exchanges.h"
#include "comm/ucx_calls.h"

enum { HOST = 64, ADDRESS = 4096, LOOKS = 16, RANK_BITS = 64 - HY_P2P_TAG_BITS };

/* What a rank tells the others. */
typedef struct ucx_card {
    char host[HOST];
    uint64_t bytes;
    unsigned char address[ADDRESS];
} ucx_card;

typedef struct ucx_peer {
    ucp_ep_h endpoint;
    char host[HOST];
    struct ucx_state *state;
} ucx_peer;

typedef struct ucx_state {
    struct ucx_state *next; /* of all of this process */
    hy_comm *comm;
    ucp_worker_h worker;
    ucx_peer *peers; /* [size] */
    hy_exchanges *exchanges;
    int64_t on_way;           /* exchanges */
    double looked, in_vain;   /* when last; seconds of looking since something came */
    bool closing;             /* peers may go */
    int gone;                 /* a peer that is, or −1 */
    int failed_to;            /* to or from whom a message failed, or −1: not known */
    ucs_status_t gone_status; /* or what a message ended with */
} ucx_state;

static const hy_ucx_calls *ucx;
static ucp_context_h context; /* of the process: opening it takes as long as a thousand messages */
static ucx_state *all_states;

bool hy_ucx_peer_errors_always;

/* Logs what failed. */
static hy_status check_ucx(ucs_status_t status, const char *call) {
    return status == UCS_OK ? HY_OK : hy_fail(HY_ERR_COMM, "UCX: %s: %s", call, ucx->ucs_status_string(status));
}

static bool ucx_probe(const hy_comm *control, const hy_device *device, char *why, size_t size) {
    (void)device;
    if (hy_comm_size(control) > (int64_t)1 << (RANK_BITS - 1)) {
        (void)snprintf(why, size, "tags have room for %lld ranks", (long long)1 << (RANK_BITS - 1));
        return false;
    }
    ucx = hy_ucx_load(why, size);
    return ucx != NULL;
}

static bool ucx_about(char *text, size_t size) {
    const hy_ucx_calls *calls = hy_ucx_load(text, size);
    if (calls != NULL) {
        (void)snprintf(text, size, "UCX %s", calls->ucp_get_version_string());
    }
    return calls != NULL;
}

/* ---- messages ---- */

/* What ends with an error is taken for complete, until end_if_failed looks. */
static void *handle_of(ucx_state *s, ucs_status_ptr_t request, int peer) {
    if (UCS_PTR_IS_ERR(request)) {
        s->gone_status = UCS_PTR_STATUS(request);
        s->failed_to = peer;
        return NULL;
    }
    return request;
}

static uint64_t tag_of(int from, uint64_t tag) {
    return (uint64_t)from << HY_P2P_TAG_BITS | tag;
}

static ucp_request_param_t of_host_memory(void) {
    return (ucp_request_param_t){.op_attr_mask = UCP_OP_ATTR_FIELD_MEMORY_TYPE, .memory_type = UCS_MEMORY_TYPE_HOST};
}

static void *ucx_send(void *state, const void *buf, size_t bytes, int to, uint64_t tag) {
    ucx_state *s = state;
    const ucp_request_param_t param = of_host_memory();
    return handle_of(s, ucx->ucp_tag_send_nbx(s->peers[to].endpoint, buf, bytes, tag_of(s->comm->rank, tag), &param),
                     to);
}

static void *ucx_recv(void *state, void *buf, size_t bytes, int from, uint64_t tag) {
    ucx_state *s = state;
    const ucp_request_param_t param = of_host_memory();
    return handle_of(s, ucx->ucp_tag_recv_nbx(s->worker, buf, bytes, tag_of(from, tag), UINT64_MAX, &param), from);
}

static bool ucx_done(void *state, void *handle) {
    ucx_state *s = state;
    const ucs_status_t status = ucx->ucp_request_check_status(handle);
    if (status == UCS_INPROGRESS) {
        return false;
    }
    if (status != UCS_OK) {
        s->gone_status = status;
    }
    s->in_vain = 0;
    ucx->ucp_request_free(handle);
    return true;
}

/* ---- open ---- */

static void peer_is_gone(void *of, ucp_ep_h endpoint, ucs_status_t status) {
    const ucx_peer *peer = of;
    ucx_state *s = peer->state;
    (void)endpoint;
    if (!s->closing && s->gone < 0) {
        s->gone = (int)(peer - s->peers);
        s->gone_status = status;
    }
}

static hy_status open_context(const ucx_state *s) {
    ucp_config_t *config = NULL;
    if (context != NULL) {
        return HY_OK;
    }
    const ucp_params_t params = {.field_mask = UCP_PARAM_FIELD_FEATURES | UCP_PARAM_FIELD_ESTIMATED_NUM_EPS,
                                 .features = UCP_FEATURE_TAG,
                                 .estimated_num_eps = (size_t)s->comm->size};
    HY_TRY(check_ucx(ucx->ucp_config_read(NULL, NULL, &config), "settings"));
    const ucs_status_t status = ucx->ucp_init_version(UCP_API_MAJOR, UCP_API_MINOR, &params, config, &context);
    ucx->ucp_config_release(config);
    return check_ucx(status, "start");
}

/* Its threads hear no signals. */
static hy_status open_worker(ucx_state *s) {
    const ucp_worker_params_t params = {.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE,
                                        .thread_mode = UCS_THREAD_MODE_SINGLE};
    sigset_t before;
    hy_signals_hold(&before);
    hy_status status = open_context(s);
    if (status == HY_OK) {
        status = check_ucx(ucx->ucp_worker_create(context, &params, &s->worker), "worker");
    }
    hy_signals_release(&before);
    return status;
}

static hy_status fill_card(const ucx_state *s, ucx_card *card) {
    ucp_address_t *address = NULL;
    size_t bytes = 0;
    (void)gethostname(card->host, sizeof card->host - 1);
    HY_TRY(check_ucx(ucx->ucp_worker_get_address(s->worker, &address, &bytes), "address"));
    const bool fits = bytes <= sizeof card->address;
    if (fits) {
        card->bytes = bytes;
        memcpy(card->address, address, bytes);
    }
    ucx->ucp_worker_release_address(s->worker, address);
    return fits ? HY_OK : hy_fail(HY_ERR_COMM, "UCX: an address of %zu bytes: at most %d have room", bytes, ADDRESS);
}

static hy_status connect_peers(ucx_state *s, const ucx_card *cards) {
    for (int r = 0; r < s->comm->size; r++) {
        ucx_peer *peer = &s->peers[r];
        const bool here = strcmp(cards[r].host, cards[s->comm->rank].host) == 0 && !hy_ucx_peer_errors_always;
        memcpy(peer->host, cards[r].host, sizeof peer->host);
        peer->state = s;
        const ucp_ep_params_t params = {
            .field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE |
                          UCP_EP_PARAM_FIELD_ERR_HANDLER,
            .address = (const ucp_address_t *)cards[r].address,
            .err_mode = here ? UCP_ERR_HANDLING_MODE_NONE : UCP_ERR_HANDLING_MODE_PEER,
            .err_handler = {.cb = peer_is_gone, .arg = peer},
        };
        HY_TRY(check_ucx(ucx->ucp_ep_create(s->worker, &params, &peer->endpoint), "endpoint"));
    }
    return HY_OK;
}

static hy_status prepare_state(ucx_state *s, ucx_card *card) {
    const hy_p2p p2p = {.context = s,
                        .rank = s->comm->rank,
                        .size = s->comm->size,
                        .send = ucx_send,
                        .recv = ucx_recv,
                        .done = ucx_done};
    HY_TRY(HY_NEW("UCX peers", s->comm->size, &s->peers));
    HY_TRY(hy_exchanges_create(&p2p, &s->exchanges));
    HY_TRY(open_worker(s));
    return fill_card(s, card);
}

static void free_state(ucx_state *s) {
    if (s->worker != NULL) {
        ucx->ucp_worker_destroy(s->worker);
    }
    hy_exchanges_destroy(s->exchanges);
    hy_free(s->peers);
    hy_free(s);
}

void hy_ucx_finalize(void) {
    if (context != NULL) {
        ucx->ucp_cleanup(context);
        context = NULL;
    }
}

static void gather_cards(hy_comm *control, ucx_card *cards) {
    hy_req req;
    hy_comm_all_gather(control, "addresses of UCX", &cards[control->rank], cards, sizeof *cards, &req);
    hy_comm_wait(&req);
}

static hy_status ucx_open(hy_comm *comm) {
    hy_comm *control = comm->control;
    ucx_state *s = NULL;
    ucx_card *cards = NULL;
    hy_status status = HY_NEW("UCX communicator", 1, &s);
    if (status == HY_OK) {
        s->comm = comm;
        s->gone = s->failed_to = -1;
        status = HY_NEW("addresses of UCX", comm->size, &cards);
    }
    status = status == HY_OK ? prepare_state(s, &cards[comm->rank]) : status;
    status = hy_comm_agree(control, status);
    if (status == HY_OK) {
        gather_cards(control, cards);
        status = hy_comm_agree(control, connect_peers(s, cards));
    }
    hy_free(cards);
    if (status != HY_OK) {
        if (s != NULL) {
            free_state(s);
        }
        return status;
    }
    s->next = all_states;
    all_states = s;
    comm->impl = s;
    return HY_OK;
}

/* ---- going on ---- */

/* Time that this rank spent elsewhere is not time that it looked. Not at every look: the clock costs more than one. */
static void count_looking(ucx_state *s) {
    const double now = hy_now(), since = now - s->looked;
    s->in_vain = s->on_way > 0 && since < 1.0 ? s->in_vain + since : 0;
    s->looked = now;
}

static void look_for_messages(ucx_state *s) {
    for (int i = 0; i < LOOKS && ucx->ucp_worker_progress(s->worker) != 0; i++) {
    }
}

/* Whoever waits may wait in another communicator, and what a failed message should have brought must not be used. */
static void end_if_failed(ucx_state *s) {
    if (s->gone_status != UCS_OK && !s->closing) {
        look_for_messages(s); /* which says what peer is gone, if one is */
        hy_comm_check_health(s->comm);
    }
}

static void ucx_progress(void) {
    for (ucx_state *s = all_states; s != NULL; s = s->next) {
        look_for_messages(s);
        hy_exchanges_progress(s->exchanges);
        end_if_failed(s);
    }
}

static void ucx_post(hy_comm *comm, const hy_xfer *xfer, hy_req *req) {
    ucx_state *s = comm->impl;
    req->impl = hy_exchanges_post(s->exchanges, xfer);
    if (req->impl != NULL) {
        s->on_way++;
        hy_exchange_set_span(req->impl, req->span);
    }
    end_if_failed(s);
}

static bool ucx_test(hy_req *req) {
    ucx_state *s = req->comm->impl;
    if (!hy_exchanges_test(s->exchanges, req->impl)) {
        if (ucx->ucp_worker_progress(s->worker) == 0) { /* one look: what comes may be what is asked for */
            return false;
        }
        hy_exchanges_progress(s->exchanges);
        if (!hy_exchanges_test(s->exchanges, req->impl)) {
            return false;
        }
    }
    end_if_failed(s);
    s->on_way--;
    req->impl = NULL;
    return true;
}

static void ucx_idle(const hy_req *req) {
    (void)req;
    (void)sched_yield();
}

static bool ucx_health(const hy_comm *comm, char *why, size_t size) {
    ucx_state *s = comm->impl;
    const double limit = hy_comm_limit();
    count_looking(s);
    if (s->gone_status != UCS_OK && s->gone >= 0) {
        (void)snprintf(why, size, "rank %d on host %s is gone: %s", hy_comm_in_world(comm, s->gone),
                       s->peers[s->gone].host, ucx->ucs_status_string(s->gone_status));
        return false;
    }
    if (s->gone_status != UCS_OK) {
        if (s->failed_to >= 0) {
            (void)snprintf(why, size, "a message to or from rank %d on host %s failed: %s",
                           hy_comm_in_world(comm, s->failed_to), s->peers[s->failed_to].host,
                           ucx->ucs_status_string(s->gone_status));
        } else {
            (void)snprintf(why, size, "a message failed: %s", ucx->ucs_status_string(s->gone_status));
        }
        return false;
    }
    if (limit > 0 && s->in_vain > limit) {
        hy_exchange_kind kind;
        const int peer = hy_exchanges_awaits(s->exchanges, &kind);
        (void)snprintf(why, size, "nothing has come for %.0f s; the oldest exchange, %s, waits for rank %d on host %s",
                       s->in_vain, peer < 0 ? "?" : hy_exchange_kind_name(kind),
                       peer < 0 ? peer : hy_comm_in_world(comm, peer), peer < 0 ? "?" : s->peers[peer].host);
        return false;
    }
    return true;
}

/* ---- close ---- */

/* One look while it waits for others to leave. */
static void look_once_more(double begun) {
    const double limit = hy_comm_limit();
    ucx_progress();
    (void)sched_yield();
    if (limit > 0 && hy_now() - begun > limit) {
        hy_log(HY_LOG_ERROR, "ucx: the other ranks do not leave the communicator; the job ends");
        hy_comm_abort(HY_ERR_COMM);
    }
}

/* Until the request is complete, or it cannot be any more. */
static void finish_request(ucs_status_ptr_t request) {
    const double begun = hy_now();
    if (!UCS_PTR_IS_PTR(request)) {
        return;
    }
    while (ucx->ucp_request_check_status(request) == UCS_INPROGRESS) {
        look_once_more(begun);
    }
    ucx->ucp_request_free(request);
}

/* All ranks are here; what they sent meanwhile moves on. */
static void meet(ucx_state *s) {
    const double begun = hy_now();
    int64_t one = 1;
    hy_req req;
    hy_comm_all_reduce(s->comm->control, "end of UCX", &one, 1, HY_TYPE_I64, HY_MAX, &req);
    while (!hy_comm_test(&req)) {
        look_once_more(begun);
    }
}

static void close_endpoints(ucx_state *s) {
    const ucp_request_param_t gently = {.op_attr_mask = 0};
    for (int r = 0; r < s->comm->size; r++) {
        finish_request(ucx->ucp_ep_close_nbx(s->peers[r].endpoint, &gently));
    }
}

/* A rank leaves once all have what it sent, and takes no leaving for a failure once all have got there. */
static void ucx_close(hy_comm *comm) {
    const ucp_request_param_t nothing = {.op_attr_mask = 0};
    ucx_state *s = comm->impl;
    finish_request(ucx->ucp_worker_flush_nbx(s->worker, &nothing));
    s->closing = true;
    meet(s);
    close_endpoints(s);
    meet(s);
    ucx_state **link = &all_states;
    while (*link != s) {
        link = &(*link)->next;
    }
    *link = s->next;
    free_state(s);
}

const hy_transport hy_transport_ucx = {
    .name = "ucx",
    .about = ucx_about,
    .probe = ucx_probe,
    .open = ucx_open,
    .post = ucx_post,
    .test = ucx_test,
    .idle = ucx_idle,
    .progress = ucx_progress,
    .health = ucx_health,
    .close = ucx_close,
};
#endif
