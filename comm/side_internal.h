/* Between side_channel.c, which listens, answers and holds the ring, and side_ask.c, which asks. */
#ifndef HY_COMM_SIDE_INTERNAL_H
#define HY_COMM_SIDE_INTERNAL_H

#include <poll.h>
#include <stdatomic.h>

#include "comm/side_address.h"
#include "comm/side_channel.h"

enum { HY_SIDE_GUESTS = 64, HY_SIDE_ASKED_AT_ONCE = 128, HY_SIDE_POLLED = 4 + HY_SIDE_GUESTS + HY_SIDE_ASKED_AT_ONCE };

/* What whoever connects says first. */
typedef struct hy_side_request {
    uint64_t secret;
    int32_t what, from, to, pad;
} hy_side_request;

/* Somebody who has connected and has not said yet what for. */
typedef struct hy_side_guest {
    int fd;
    size_t got;
    hy_side_request request;
} hy_side_guest;

typedef enum hy_question_state { HY_Q_NONE, HY_Q_QUEUED, HY_Q_CONNECTING, HY_Q_WAITING, HY_Q_DONE } hy_question_state;
typedef struct hy_question {
    hy_question_state state;
    int fd, place; /* which of the address's places is tried */
    bool refused;
    size_t got;
    double began;
} hy_question;

struct hy_side {
    int rank, size;
    uint64_t secret;
    hy_side_answer answer;
    void *context;
    hy_side_address *addresses; /* [size] */
    const char **hosts;         /* [size] */
    int listener, woken;
    _Atomic int next, before; /* the ring; −1: none */
    bool next_joined;         /* it has said so */
    bool next_died, before_died;
    int told_to_end;
    int n_guests;
    hy_side_guest guests[HY_SIDE_GUESTS];
    /* the questions that are under way */
    hy_side_what what;
    double deadline;
    int open, queued;        /* not done; the next that has not begun */
    hy_question *questions;  /* [size] */
    hy_whereabouts *answers; /* [size] */
};

/* A TCP socket that does not block, is not inherited by programs and sends at once; −1: none. */
int hy_side_socket(void);
bool hy_side_send_request(const hy_side *side, int fd, hy_side_what what, int to);

/* side_ask.c: adds the sockets of questions to `polled` from n on, with the rank of each in `ranks`; gives how many there are then. */
int hy_side_poll_questions(hy_side *side, struct pollfd *polled, int *ranks, int n);
void hy_side_hear_answer(hy_side *side, int rank, short events);
void hy_side_give_up_late(hy_side *side, double now);
void hy_side_drop_questions(hy_side *side);

#endif
