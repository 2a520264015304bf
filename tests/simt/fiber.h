/* Contexts with a stack of their own, switched by hand. On x86-64 a switch saves what a call must keep, some nanoseconds; elsewhere
 * (or with HY_FIBER_PORTABLE) it is ucontext's. Never destroyed: whoever makes them uses them again. */
#ifndef HY_TESTS_SIMT_FIBER_H
#define HY_TESTS_SIMT_FIBER_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hy_fiber hy_fiber;

/* The context of whoever calls it: what others switch back to. Ends the process if there is no memory. */
hy_fiber *hy_fiber_of_caller(void);
/* Will run body(fiber), which never returns, when it is switched to for the first time. */
hy_fiber *hy_fiber_create(void (*body)(hy_fiber *self));
void hy_fiber_switch(hy_fiber *from, hy_fiber *to);
/* Whether an address is in what lies below a stack and may not be touched. */
bool hy_fiber_overflows(const hy_fiber *fiber, const void *address);

#ifdef __cplusplus
}
#endif

#endif
