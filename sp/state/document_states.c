/* States at the edges of documents: given (h0, dht) and wanted (ht, dh0). A document may start and end on different
 * ranks, in the middle of fragments, and may be empty: then its state passes unchanged. */
#include "sp/state/recurrence_internal.h"

static char *entry(const hy_recur_call *c, const void *states, int64_t i) {
    return (char *)(uintptr_t)states + (size_t)i * c->shape.h_bytes;
}

static char *document_entry(const hy_recur_call *c, const void *states, int64_t doc) {
    return entry(c, states, c->layout->n_local + doc);
}

/* from NULL: zeros. */
static void set(const hy_recur_call *c, const void *from, char *to) {
    if (from) {
        hy_segment_copy(c->sp->device, &c->shape, 1, from, to);
    } else {
        hy_fill(c->sp->device,
                &(hy_fill_args){.n = c->shape.HV * c->shape.K * c->shape.V, .value = 0, .y = to, .role = HY_ROLE_STAT});
    }
}

static void load_document_states(const hy_recur_call *c, const void *states, char *array) {
    for (int64_t doc = 0; doc < c->n_docs; doc++) {
        set(c, states ? entry(c, states, doc) : NULL, document_entry(c, array, doc));
    }
}

void hy_document_load_h0(hy_recur_call *c) {
    load_document_states(c, c->r->h0, c->S0);
}

void hy_document_load_dht(hy_recur_call *c) {
    load_document_states(c, c->r->dht, c->dS1);
}

/* The kernel gives no transition for a run that starts a document; it does when told that a state enters. */
void hy_document_add_h0(hy_recur_call *c) {
    hy_recur_set_runs(&c->op, &c->sp->lists->opening);
    hy_recur_map(c->sp->device, &c->op);
    for (int64_t i = 0; i < c->layout->n_runs; i++) {
        const hy_run *run = &c->layout->runs[i];
        if (run->s0 < 0 && run->s1 >= 0) {
            char *H = entry(c, c->pass.own_H, run->s1);
            hy_segment_apply(c->sp->device, &c->shape, 1, c->pass.own_A + (size_t)run->s1 * c->shape.a_bytes,
                             document_entry(c, c->S0, c->layout->run_doc[i]), H, H);
        }
    }
}

void hy_document_add_dht(hy_recur_call *c) {
    hy_recur_set_runs(&c->op, &c->sp->lists->closing);
    c->op.A_map = c->end_A;
    c->op.H_map = c->end_H;
    hy_recur_map(c->sp->device, &c->op);
    for (int64_t i = 0; i < c->layout->n_runs; i++) {
        const hy_run *run = &c->layout->runs[i];
        if (run->s0 >= 0 && run->s1 < 0) {
            char *dH = entry(c, c->pass.own_H, run->s0);
            hy_segment_apply(c->sp->device, &c->shape, -1, c->end_A + (size_t)run->s0 * c->shape.a_bytes,
                             document_entry(c, c->dS1, c->layout->run_doc[i]), dH, dH);
        }
    }
}

static bool no_documents(const hy_layout *layout, int64_t doc) {
    return layout->docs[doc] == layout->docs[doc + 1];
}

void hy_document_store_ht(hy_recur_call *c) {
    for (int64_t i = 0; i < c->layout->n_runs; i++) {
        if (c->layout->runs[i].s1 < 0) {
            const int64_t doc = c->layout->run_doc[i];
            set(c, document_entry(c, c->S1, doc), entry(c, c->r->ht, doc));
        }
    }
    for (int64_t doc = 0; doc < c->n_docs; doc++) {
        if (no_documents(c->layout, doc)) {
            set(c, document_entry(c, c->S0, doc), entry(c, c->r->ht, doc));
        }
    }
}

void hy_document_store_dh0(hy_recur_call *c) {
    for (int64_t i = 0; i < c->layout->n_runs; i++) {
        if (c->layout->runs[i].s0 < 0) {
            const int64_t doc = c->layout->run_doc[i];
            set(c, document_entry(c, c->dS0, doc), entry(c, c->r->dh0, doc));
        }
    }
    for (int64_t doc = 0; doc < c->n_docs; doc++) {
        if (no_documents(c->layout, doc)) {
            set(c, document_entry(c, c->dS1, doc), entry(c, c->r->dh0, doc));
        }
    }
}
