/* One status type for the whole project. Its values are the program's exit codes.
 *
 * The function that decides that something is an error logs it (hy_fail); the functions above it pass the
 * status on (HY_TRY). Outputs are written only on success. */
#ifndef HY_BASE_STATUS_H
#define HY_BASE_STATUS_H

typedef enum hy_status {
    HY_OK = 0,
    HY_ERR_FAILED = 1,     /* anything without a code of its own */
    HY_ERR_USAGE = 2,      /* command line or config */
    HY_ERR_ENV = 3,        /* the machine lacks something: library, device, mpirun */
    HY_ERR_DATA = 4,       /* token store or input file */
    HY_ERR_CHECKPOINT = 5, /* missing or damaged checkpoint, failed save */
    HY_ERR_MEMORY = 6,     /* a reservation failed */
    HY_ERR_NOT_FINITE = 7, /* too many non-finite steps in a row */
    HY_ERR_COMM = 8,       /* communication */
    HY_ERR_VERIFY = 9,     /* verification failed */
    HY_ERR_PEER = 10,      /* another rank failed and logged why; the job exits with that rank's code */
    HY_STOPPED = 75        /* stopped early by a signal or time limit: run again to go on */
} hy_status;

#if defined(__GNUC__)
#define HY_MUST_CHECK   __attribute__((warn_unused_result))
#define HY_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define HY_MUST_CHECK
#define HY_PRINTF(f, a)
#endif

/* Logs the message as an error (once, here) and returns `status`. The message says what happened, where, and
 * what to do. */
HY_MUST_CHECK HY_PRINTF(2, 3) hy_status hy_fail(hy_status status, const char *format, ...);

/* "ok", "usage", ...: the name used in logs. */
const char *hy_status_name(hy_status status);

/* The only macros that jump. */
#define HY_TRY(expr)                                                                                                   \
    do {                                                                                                               \
        hy_status hy_try_status_ = (expr);                                                                             \
        if (hy_try_status_ != HY_OK) {                                                                                 \
            return hy_try_status_;                                                                                     \
        }                                                                                                              \
    } while (0)

#define HY_TRY_GOTO(status_var, expr, label)                                                                           \
    do {                                                                                                               \
        (status_var) = (expr);                                                                                         \
        if ((status_var) != HY_OK) {                                                                                   \
            goto label;                                                                                                \
        }                                                                                                              \
    } while (0)

#endif
