/* Plain TCP between the ranks, beside whatever carries the exchanges, for questions and answers of a few hundred bytes. Made at start, when
 * the control plane still works; afterwards one thread serves it, by hy_side_turn, and no call ever waits for another rank.
 *
 * Every rank listens; who asks connects, to all it asks at once. Two connections stay: to the next rank and from the one before, in a
 * ring. Such a one that ends without a farewell means that its rank has died. Strangers are told apart by a number that only the ranks know. */
#ifndef HY_COMM_SIDE_CHANNEL_H
#define HY_COMM_SIDE_CHANNEL_H

#include "comm/comm.h"
#include "comm/whereabouts.h"

typedef struct hy_side hy_side;

/* Answers a question of another rank. */
typedef hy_whereabouts (*hy_side_answer)(void *context);

/* Listens, brings the addresses of all ranks together and joins the ring; where no address of the next rank can be reached, a warning says so.
 * Collective. */
HY_MUST_CHECK hy_status hy_side_create(hy_comm *world, hy_side_answer answer, void *context, hy_side **out);
/* With a farewell to the neighbours. NULL allowed. */
void hy_side_destroy(hy_side *side);
/* The farewell alone: this process is about to end, and means to. From any thread. */
void hy_side_farewell(hy_side *side);
/* In a child of fork: lets go of every socket, without a word. */
void hy_side_forget(hy_side *side);

/* Serves for up to `seconds`; less where hy_side_wake is called meanwhile, from any thread. */
void hy_side_turn(hy_side *side, double seconds);
void hy_side_wake(hy_side *side);

typedef enum hy_side_what { HY_SIDE_RING = 1, HY_SIDE_ASK, HY_SIDE_END } hy_side_what;
/* Asks every other rank where it is (HY_SIDE_ASK), or tells it that the job ends (HY_SIDE_END), within `seconds`. */
void hy_side_ask(hy_side *side, hy_side_what what, double seconds);
/* Whether nothing more will come; then all of the answers, the own one among them. */
bool hy_side_asked(const hy_side *side, const hy_whereabouts **all);

/* What the turns have seen: a neighbour died (`is_next`: the one behind this rank in the ring, else the one before); −1: none. */
int hy_side_died(const hy_side *side, bool *is_next);
/* Who told that the job ends; −1: nobody. */
int hy_side_told_to_end(const hy_side *side);

/* By rank; they live as long as the channel. */
const char *const *hy_side_hosts(const hy_side *side);

#endif
