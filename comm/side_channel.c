#include "comm/side_channel.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "comm/side_internal.h"

static const char JOINED = 'j', FAREWELL = 'f';

int hy_side_socket(void) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    if (fd >= 0) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    return fd;
}

/* A few bytes into an empty socket's buffer always fit. */
static bool send_bytes(int fd, const void *bytes, size_t n) {
    return send(fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)n;
}

bool hy_side_send_request(const hy_side *side, int fd, hy_side_what what, int to) {
    const hy_side_request request = {.secret = side->secret, .what = (int32_t)what, .from = side->rank, .to = to};
    return send_bytes(fd, &request, sizeof request);
}

/* ---- start ---- */

static hy_status listen_for_ranks(hy_side *side, hy_side_address *own) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
    socklen_t size = sizeof at;
    hy_side_address_own(own);
    side->woken = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    side->listener = hy_side_socket();
    if (side->woken < 0 || side->listener < 0 || bind(side->listener, (struct sockaddr *)&at, sizeof at) != 0 ||
        listen(side->listener, SOMAXCONN) != 0 || getsockname(side->listener, (struct sockaddr *)&at, &size) != 0) {
        return hy_fail(HY_ERR_COMM, "no socket for the watchdog: %s; run.timeout 0 goes without", strerror(errno));
    }
    own->port = at.sin_port;
    return HY_OK;
}

/* Connected within a second, or not. */
static bool connect_now(int fd, const struct sockaddr_in *at) {
    struct pollfd polled = {.fd = fd, .events = POLLOUT};
    int error = 0;
    socklen_t size = sizeof error;
    if (connect(fd, (const struct sockaddr *)at, sizeof *at) == 0) {
        return true;
    }
    return errno == EINPROGRESS && poll(&polled, 1, 1000) == 1 &&
           getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
}

/* The next rank listens already; its thread may come later. */
static void join_ring(hy_side *side) {
    const int next = (side->rank + 1) % side->size;
    const hy_side_address *own = &side->addresses[side->rank], *other = &side->addresses[next];
    for (int i = 0; i < hy_side_address_count(own, other); i++) {
        const struct sockaddr_in at = hy_side_address_at(own, other, i);
        const int fd = hy_side_socket();
        if (fd >= 0 && connect_now(fd, &at) && hy_side_send_request(side, fd, HY_SIDE_RING, next)) {
            side->next = fd;
            return;
        }
        if (fd >= 0) {
            (void)close(fd);
        }
    }
    hy_warn("the watchdog of rank %d on %s cannot connect to rank %d on %s: a rank that hangs may end the run without "
            "being "
            "named; HYLAS_INTERFACES names the network interfaces to use",
            side->rank, own->host, next, other->host);
}

static hy_status reserve_side(hy_comm *world, hy_side_answer answer, void *context, hy_side **out) {
    hy_side *side = NULL;
    const int size = hy_comm_size(world);
    HY_TRY(HY_NEW("side channel", 1, &side));
    *out = side;
    side->rank = hy_comm_rank(world);
    side->size = size;
    side->answer = answer;
    side->context = context;
    side->listener = side->woken = side->next = side->before = side->told_to_end = -1;
    HY_TRY(HY_NEW("addresses of ranks", size, &side->addresses));
    HY_TRY(HY_NEW("hosts of ranks", size, &side->hosts));
    HY_TRY(HY_NEW("answers of ranks", size, &side->answers));
    HY_TRY(HY_NEW("questions to ranks", size, &side->questions));
    hy_side_drop_questions(side);
    return HY_OK;
}

/* Collective. */
static hy_status exchange_addresses(hy_comm *world, hy_side *side, const hy_side_address *own) {
    hy_req req = {0};
    hy_status status = HY_OK;
    if (side->rank == 0 && getrandom(&side->secret, sizeof side->secret, 0) != sizeof side->secret) {
        status = hy_fail(HY_ERR_ENV, "no random number: %s", strerror(errno));
    }
    HY_TRY(hy_comm_agree(world, status));
    hy_comm_broadcast(world, "side channel", &side->secret, sizeof side->secret, 0, &req);
    hy_comm_wait(&req);
    hy_comm_all_gather(world, "side channel", own, side->addresses, sizeof *own, &req);
    hy_comm_wait(&req);
    for (int r = 0; r < side->size; r++) {
        side->hosts[r] = side->addresses[r].host;
    }
    return HY_OK;
}

hy_status hy_side_create(hy_comm *world, hy_side_answer answer, void *context, hy_side **out) {
    hy_side *side = NULL;
    hy_side_address own = {0};
    hy_status status = reserve_side(world, answer, context, &side);
    if (status == HY_OK) {
        status = listen_for_ranks(side, &own);
    }
    status = hy_comm_agree(world, status);
    if (status == HY_OK) {
        status = exchange_addresses(world, side, &own);
    }
    if (status != HY_OK) {
        hy_side_destroy(side);
        return status;
    }
    join_ring(side);
    *out = side;
    return HY_OK;
}

/* ---- end ---- */

void hy_side_farewell(hy_side *side) {
    const int fds[] = {side->next, side->before};
    for (int i = 0; i < 2; i++) {
        if (fds[i] >= 0) {
            (void)send_bytes(fds[i], &FAREWELL, 1);
        }
    }
}

static void close_if(int fd) {
    if (fd >= 0) {
        (void)close(fd);
    }
}

void hy_side_forget(hy_side *side) {
    close_if(side->listener);
    close_if(side->woken);
    close_if(side->next);
    close_if(side->before);
    for (int i = 0; i < side->n_guests; i++) {
        close_if(side->guests[i].fd);
    }
    for (int r = 0; side->questions != NULL && r < side->size; r++) {
        close_if(side->questions[r].fd);
    }
}

void hy_side_destroy(hy_side *side) {
    if (side == NULL) {
        return;
    }
    hy_side_farewell(side);
    hy_side_forget(side);
    hy_free(side->addresses);
    hy_free(side->hosts);
    hy_free(side->answers);
    hy_free(side->questions);
    hy_free(side);
}

/* ---- serving ---- */

static void accept_guest(hy_side *side) {
    const int fd = accept4(side->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        side->guests[side->n_guests++] = (hy_side_guest){.fd = fd};
    }
}

/* What a guest wants is known; true if its socket is kept. */
static bool serve_guest(hy_side *side, const hy_side_guest *guest) {
    const hy_side_request *r = &guest->request;
    if (r->secret != side->secret || r->to != side->rank || r->from < 0 || r->from >= side->size) {
        return false;
    }
    if (r->what == HY_SIDE_RING && side->before < 0 && r->from == (side->rank + side->size - 1) % side->size) {
        side->before = guest->fd;
        (void)send_bytes(guest->fd, &JOINED, 1);
        return true;
    }
    if (r->what == HY_SIDE_ASK || r->what == HY_SIDE_END) {
        const hy_whereabouts mine = side->answer(side->context);
        (void)send_bytes(guest->fd, &mine, sizeof mine);
    }
    if (r->what == HY_SIDE_END) {
        side->told_to_end = r->from;
    }
    return false;
}

static void hear_guest(hy_side *side, hy_side_guest *guest) {
    const ssize_t n = recv(guest->fd, (char *)&guest->request + guest->got, sizeof guest->request - guest->got, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    guest->got += n > 0 ? (size_t)n : 0;
    if (n > 0 && guest->got < sizeof guest->request) {
        return;
    }
    if (n <= 0 || !serve_guest(side, guest)) {
        (void)close(guest->fd);
    }
    guest->fd = -1;
}

static void forget_served_guests(hy_side *side) {
    int kept = 0;
    for (int i = 0; i < side->n_guests; i++) {
        if (side->guests[i].fd >= 0) {
            side->guests[kept++] = side->guests[i];
        }
    }
    side->n_guests = kept;
}

/* A neighbour in the ring spoke, or its connection ended. */
static void hear_neighbour(_Atomic int *fd, bool *joined, bool *died) {
    char byte;
    const ssize_t n = recv(*fd, &byte, 1, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n == 1 && byte == JOINED) {
        *joined = true;
        return;
    }
    *died = n != 1 && *joined;
    (void)close(*fd);
    *fd = -1;
}

static void hear_wake(const hy_side *side) {
    uint64_t count;
    (void)!read(side->woken, &count, sizeof count);
}

void hy_side_wake(hy_side *side) {
    const uint64_t one = 1;
    (void)!write(side->woken, &one, sizeof one);
}

void hy_side_turn(hy_side *side, double seconds) {
    struct pollfd polled[HY_SIDE_POLLED];
    int ranks[HY_SIDE_POLLED];
    const bool room = side->n_guests < HY_SIDE_GUESTS;
    const int n_guests = side->n_guests;
    polled[0] = (struct pollfd){.fd = side->woken, .events = POLLIN};
    polled[1] = (struct pollfd){.fd = room ? side->listener : -1, .events = POLLIN};
    polled[2] = (struct pollfd){.fd = side->next, .events = POLLIN};
    polled[3] = (struct pollfd){.fd = side->before, .events = POLLIN};
    for (int i = 0; i < n_guests; i++) {
        polled[4 + i] = (struct pollfd){.fd = side->guests[i].fd, .events = POLLIN};
    }
    const int n = hy_side_poll_questions(side, polled, ranks, 4 + n_guests);
    if (poll(polled, (nfds_t)n, (int)(1000.0 * seconds)) > 0) {
        bool joined = true;
        for (int i = 4 + n_guests; i < n; i++) {
            hy_side_hear_answer(side, ranks[i], polled[i].revents);
        }
        for (int i = 0; i < n_guests; i++) {
            if (polled[4 + i].revents != 0) {
                hear_guest(side, &side->guests[i]);
            }
        }
        if (polled[3].revents != 0) {
            hear_neighbour(&side->before, &joined, &side->before_died);
        }
        if (polled[2].revents != 0) {
            hear_neighbour(&side->next, &side->next_joined, &side->next_died);
        }
        if (polled[1].revents != 0) {
            accept_guest(side);
        }
        if (polled[0].revents != 0) {
            hear_wake(side);
        }
    }
    forget_served_guests(side);
    hy_side_give_up_late(side, hy_now());
}

int hy_side_died(const hy_side *side, bool *is_next) {
    *is_next = !side->before_died;
    return side->before_died ? (side->rank + side->size - 1) % side->size
           : side->next_died ? (side->rank + 1) % side->size
                             : -1;
}

int hy_side_told_to_end(const hy_side *side) {
    return side->told_to_end;
}

const char *const *hy_side_hosts(const hy_side *side) {
    return side->hosts;
}
