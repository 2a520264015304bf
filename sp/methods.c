#include "sp/methods.h"

#include <stddef.h>

#include "sp/attention/attention_row.h"
#include "sp/state/state_exchange.h"

#define HY_X(value, name, ...) [value] = (name),
const char *const hy_layout_names[] = {HY_LAYOUT_KINDS(HY_X) NULL};
const char *const hy_state_exchange_names[] = {HY_STATE_EXCHANGES(HY_X) NULL};
const char *const hy_attention_method_names[] = {HY_ATTENTION_METHODS(HY_X) NULL};
const char *const hy_overlap_names[] = {HY_OVERLAPS(HY_X) NULL};
const char *const hy_layout_choices[] = {HY_LAYOUT_KINDS(HY_X)[HY_LAYOUT_AUTO] = "auto", NULL};
const char *const hy_state_exchange_choices[] = {HY_STATE_EXCHANGES(HY_X)[HY_STATE_AUTO] = "auto", NULL};
const char *const hy_attention_method_choices[] = {HY_ATTENTION_METHODS(HY_X)[HY_ATTENTION_AUTO] = "auto", NULL};
#undef HY_X

bool hy_sp_method_carries(const hy_sp_method *method) {
    const bool states = method->state == HY_STATE_AUTO || !hy_state_row_of(method->state)->by_heads;
    return states && (method->attention == HY_ATTENTION_AUTO || !hy_attn_row_of(method->attention)->by_heads);
}
