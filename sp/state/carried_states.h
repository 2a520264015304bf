/* States that go on from step to step: `carried` of a recurrence (sp.h) and those of fragments [n_local,...], by slot. */
#ifndef HY_SP_CARRIED_STATES_H
#define HY_SP_CARRIED_STATES_H

#include "sp/sp.h"
#include "sp/state/segment_map.h"

/* What the step before left, of sequences that go on and begin here, into the slots of their first fragments. */
void hy_carried_states_load(const hy_sp *sp, const hy_segment_shape *shape, const void *carried, char *states);
/* The slots of the last fragments of sequences that end here, to what the next step reads. */
void hy_carried_states_store(const hy_sp *sp, const hy_segment_shape *shape, const char *states, void *carried);

#endif
