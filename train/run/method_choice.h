/* Which layout and exchanges are fastest for a run: each is simulated (simulate.h) on a model with one layer of every mixer, the time of which
 * counts as often as the model has it. Of those within 2% of the fastest the one is taken that sends least.
 *
 * The layouts are tried in turn; in each the exchanges of states, then, with the one that is taken, those of keys and values. So not every pair
 * is tried: what a layer exchanges hides behind its own work. */
#ifndef HY_TRAIN_METHOD_CHOICE_H
#define HY_TRAIN_METHOD_CHOICE_H

#include "train/run/config.h"
#include "train/run/machine.h"

enum { HY_TRIED_MAX = 64 };

/* What one mixer's layer takes with a method, forward and backward of a micro-step. */
typedef struct hy_tried_layer {
    double seconds, exposed; /* of a rank, the mean; exposed: of them, waiting for exchanges */
    double sent, messages;   /* of a rank, the mean; bytes */
} hy_tried_layer;

typedef struct hy_tried_method {
    hy_sp_method method;
    double seconds; /* of a micro-step of the whole model, estimated: layers as often as they are there, and the rest */
    double sent;    /* bytes of a rank in all layers, the mean */
    int64_t activations; /* bytes of the whole model on the first rank */
    hy_tried_layer layers[HY_MIXERS_MAX];
} hy_tried_method;

/* Predictions are not as good as to tell apart what is closer. */
#define HY_METHODS_ALIKE 1.02

/* best: the fastest; taken: what auto takes of what the configuration leaves open, or of all where it leaves nothing open. */
typedef struct hy_method_choice {
    int n, best, taken, n_mixers;
    int mixers[HY_MIXERS_MAX];     /* of the model, in the order of their first layer */
    int64_t counts[HY_MIXERS_MAX]; /* layers */
    hy_tried_method tried[HY_TRIED_MAX];
} hy_method_choice;

/* Tries what `config` leaves open (`auto`), all of it if `all`; the open parts of *method, which may be the configuration's own, become those
 * of the one that is taken of those with its other parts. *out: what was tried, the caller's (hy_free). HY_ERR_USAGE for a mesh that does not fit. world: who shares the
 * work, all with the same arguments and results. Collective over `world`. */
HY_MUST_CHECK hy_status hy_method_choose(const hy_config *config, int stage, int ranks, bool all,
                                         const hy_machine *machine, hy_comm *world, hy_sp_method *method,
                                         hy_method_choice **out);
/* A model with one layer of every mixer, in the order of their first layers. */
void hy_method_small_model(const hy_model_config *model, hy_model_config *small);
/* Whether `config` leaves anything open. */
bool hy_method_is_open(const hy_sp_method *method);
/* With the first way wherever it is open: what one rank needs. */
hy_sp_method hy_method_first(const hy_sp_method *method);

#endif
