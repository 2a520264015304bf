/* What an exchange of states costs, counted by the transport on every rank of a layout whose others are not there, against formulas of
 * docs/exchanges.md: bytes that a rank receives; what stays from forward to backward, which no number of ranks changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/dry.h"
#include "sp/state/state_exchange.h"
