/* `hylas verify`: the same step on one rank and on several, compared. */
#ifndef HY_LAUNCH_VERIFY_H
#define HY_LAUNCH_VERIFY_H

#include "comm/comm.h"
#include "layers/model.h"
#include "train/run/config.h"

/* One step's input, the same on every rank: random tokens in one sequence, cut into documents at random places (some may be
 * empty), labels with gaps. */
typedef struct hy_verify_data {
    int64_t tokens, n_docs, counted;
    int64_t *docs;         /* [n_docs+1] */
    int32_t *ids, *labels; /* [tokens] */
} hy_verify_data;

HY_MUST_CHECK hy_status hy_verify_data_create(int64_t tokens, int64_t n_docs, int64_t vocab, uint64_t seed,
                                              hy_verify_data *data);
void hy_verify_data_free(hy_verify_data *data);

/* How the step runs. */
typedef struct hy_verify_method {
    hy_sp_method sp;
    hy_recompute recompute;
    hy_dtype dtype;
    const char *table;
    hy_transport_id transport;
    int broken; /* test hook: damage every exchange */
} hy_verify_method;

/* A model on the ranks of a communicator, that may run again and again. */
typedef struct hy_verify_run {
    const hy_verify_data *data;
    hy_comm *ranks, *bound; /* bound: to the device */
    hy_device *device;
    hy_layout *layout;
    hy_runner *runner;
    int64_t flat; /* parameters */
    hy_dtype dtype;
    void *params, *grads;  /* the compute copy and flat, in the device's memory */
    double *loss;          /* likewise */
    int32_t *ids, *labels; /* [T] this rank's */
} hy_verify_run;

/* Where it fails, nothing is left to end. `model` and `data` stay the caller's. Collective. */
HY_MUST_CHECK hy_status hy_verify_begin(const hy_model *model, const hy_verify_data *data,
                                        const hy_verify_method *method, hy_comm *comm, const void *masters,
                                        hy_verify_run *run);
/* Forward, and backward if asked; complete on this rank. Adds to loss and gradients. Collective. */
void hy_verify_pass(hy_verify_run *run, bool backward);
/* What passes added so far: the mean loss, and every gradient summed over ranks, into grads. Collective. */
void hy_verify_read(hy_verify_run *run, double *loss, void *grads);
void hy_verify_end(hy_verify_run *run);

/* One pass forward and backward over the ranks of `comm`: the mean loss, and every gradient summed over ranks, into grads. `masters` and grads
 * are flat, in the type that the method's precision gives statistics and gradients. Collective. */
HY_MUST_CHECK hy_status hy_verify_step(const hy_model *model, const hy_verify_data *data,
                                       const hy_verify_method *method, hy_comm *comm, const void *masters, double *loss,
                                       void *grads);

/* Forward only, over all tokens but the last of an odd number: the loss of every token (0 where its label does not count), in one step, or
 * in two of half the length that carry what a run with train.carry_state does. rows: [data->tokens] on every rank. Collective. */
HY_MUST_CHECK hy_status hy_verify_rows(const hy_model *model, const hy_verify_data *data,
                                       const hy_verify_method *method, hy_comm *comm, const void *masters, int steps,
                                       double *rows);

/* rms(got − want) / rms(want) of n elements; where rms(want) is below `floor`, floor stands for it. Infinite if not finite. */
double hy_verify_error(const void *got, const void *want, int64_t n, hy_dtype dtype, double floor);
double hy_verify_rms(const void *x, int64_t n, hy_dtype dtype);

#endif
