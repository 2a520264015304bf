/* Loaded before a program (LD_PRELOAD), makes its machine worse on purpose, so that tests can ask hylas trace what is wrong:
 *
 *   SLOW_RANK=r      this rank of mpirun sleeps twice as long as it computes: its processor has a third of the speed
 *   SLOW_GATHER=ms   every all-gather takes at least so long from posting to completion */
#include <mpi.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

/* ---- a slow rank ---- */

enum { SLICE = 1000 }; /* microseconds of computing between sleeps */

static double now(void) {
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* By the clock and not by the processor's time: others on the machine then slow this rank no less than the rest. */
static void sleep_twice_as_long(int unused) {
    static double awake;
    const double seconds = awake > 0.0 ? 2.0 * (now() - awake) : 0.0, most = seconds < 0.1 ? seconds : 0.1;
    const struct timespec sleep = {.tv_nsec = (long)(1e9 * most)};
    (void)unused;
    (void)nanosleep(&sleep, NULL);
    awake = now();
}

__attribute__((constructor)) static void slow_down(void) {
    const char *wanted = getenv("SLOW_RANK"), *rank = getenv("OMPI_COMM_WORLD_RANK");
    if (wanted == NULL || rank == NULL || strcmp(wanted, rank) != 0) {
        return;
    }
    /* a stack of its own: products by oneDNN use theirs as they like */
    static char stack[1 << 16];
    const stack_t own = {.ss_sp = stack, .ss_size = sizeof stack};
    const struct sigaction action = {.sa_handler = sleep_twice_as_long, .sa_flags = SA_RESTART | SA_ONSTACK};
    const struct itimerval timer = {{0, SLICE}, {0, SLICE}};
    (void)sigaltstack(&own, NULL);
    (void)sigaction(SIGPROF, &action, NULL);
    (void)setitimer(ITIMER_PROF, &timer, NULL);
}

/* ---- slow all-gathers ---- */

enum { POSTED = 4096 };

static struct {
    MPI_Request request;
    double ready;
} posted[POSTED];
static int n_posted;

static double delay(void) {
    const char *ms = getenv("SLOW_GATHER");
    return ms != NULL ? 1e-3 * strtod(ms, NULL) : 0.0;
}

static void remember(MPI_Request request) {
    if (n_posted < POSTED && delay() > 0.0) {
        posted[n_posted].request = request;
        posted[n_posted++].ready = MPI_Wtime() + delay();
    }
}

static int find_request(MPI_Request request) {
    for (int i = 0; i < n_posted; i++) {
        if (posted[i].request == request) {
            return i;
        }
    }
    return -1;
}

int MPI_Iallgather(const void *send, int n, MPI_Datatype type, void *recv, int n_recv, MPI_Datatype recv_type,
                   MPI_Comm comm, MPI_Request *request) {
    const int code = PMPI_Iallgather(send, n, type, recv, n_recv, recv_type, comm, request);
    remember(*request);
    return code;
}

int MPI_Test(MPI_Request *request, int *flag, MPI_Status *status) {
    const int i = find_request(*request);
    if (i >= 0 && MPI_Wtime() < posted[i].ready) {
        *flag = 0;
        return MPI_SUCCESS;
    }
    const int code = PMPI_Test(request, flag, status);
    if (i >= 0 && *flag) {
        posted[i] = posted[--n_posted];
    }
    return code;
}

/* One after the other: what is not ready yet is passed over. */
int MPI_Testsome(int n, MPI_Request *requests, int *n_done, int *done, MPI_Status *statuses) {
    *n_done = 0;
    (void)statuses;
    for (int i = 0; i < n; i++) {
        int flag = 0;
        if (requests[i] != MPI_REQUEST_NULL && MPI_Test(&requests[i], &flag, MPI_STATUS_IGNORE) == MPI_SUCCESS &&
            flag) {
            done[(*n_done)++] = i;
        }
    }
    return MPI_SUCCESS;
}
