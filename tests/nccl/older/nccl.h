/* NCCL's header as if it were version HY_TEST_NCCL: what came later may not be named. */
#ifndef HY_TESTS_OLDER_NCCL_H
#define HY_TESTS_OLDER_NCCL_H

#pragma GCC system_header
#include_next <nccl.h>

#undef NCCL_VERSION_CODE
#define NCCL_VERSION_CODE HY_TEST_NCCL

#if HY_TEST_NCCL < NCCL_VERSION(2, 19, 0)
#pragma GCC poison ncclMemAlloc ncclMemFree ncclCommRegister ncclCommDeregister
#endif
#if HY_TEST_NCCL < NCCL_VERSION(2, 27, 0)
#pragma GCC poison ncclCommWindowRegister ncclCommWindowDeregister ncclWindow_t NCCL_WIN_COLL_SYMMETRIC CTAPolicy
#endif
#if HY_TEST_NCCL < NCCL_VERSION(2, 28, 0)
#pragma GCC poison NCCL_CTA_POLICY_ZERO
#endif

#endif
