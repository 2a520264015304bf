/* A preloaded library that lets the n-th call of one kind fail, whoever makes it: the program, stdio, libhdf5. System calls are caught
 * by a seccomp filter that raises SIGSYS, so that what libc calls inside itself is caught too; the handler makes the call itself
 * or answers in its place. Allocations are hy_alloc's: calloc called from the program's own code.
 *
 *     FAULT_CALL   write, sync, rename, open (for writing), read (open for reading), make (mkdir), remove (unlink, rmdir), alloc
 *     FAULT_AT     n, from 1; 0: none fails
 *     FAULT_MODE   error: this call alone; full: this and all later ones; short: half of what it should write; kill: the process ends here
 *     FAULT_UNDER  only files whose path begins with this (system calls)
 *     FAULT_RANK   only this rank (default 0)
 *     FAULT_COUNT  a file to which the number of calls is appended when the process ends
 */
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { OURS = 0x68796c61, ROOM = 512 }; /* OURS in the unused sixth argument: a call of the handler's, let through */

typedef enum mode { MODE_ERROR, MODE_FULL, MODE_SHORT, MODE_KILL } mode;

static struct {
    const char *call, *under, *count_file;
    size_t under_length;
    long at;
    mode mode;
    uintptr_t program_begin, program_end;
} fault;
static atomic_long calls;

/* Counts the call; true: it is the one. */
static int is_chosen(void) {
    const long n = atomic_fetch_add(&calls, 1) + 1;
    const int chosen = fault.at > 0 && (fault.mode == MODE_FULL ? n >= fault.at : n == fault.at);
    if (chosen && fault.mode == MODE_KILL) {
        kill(getpid(), SIGKILL);
    }
    return chosen;
}

/* ---- allocations ---- */

extern void *__libc_calloc(size_t n, size_t size);

void *calloc(size_t n, size_t size) {
    const uintptr_t caller = (uintptr_t)__builtin_return_address(0);
    if (caller >= fault.program_begin && caller < fault.program_end && is_chosen()) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_calloc(n, size);
}

static int find_program(struct dl_phdr_info *info, size_t size, void *context) {
    (void)size;
    (void)context;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type == PT_LOAD && (part->p_flags & PF_X) != 0) {
            fault.program_begin = info->dlpi_addr + part->p_vaddr;
            fault.program_end = fault.program_begin + part->p_memsz;
        }
    }
    return 1; /* the first one is the program */
}

/* ---- system calls ---- */

#if defined(__x86_64__)
static const int argument_registers[5] = {REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8};
static long argument(const ucontext_t *u, int i) {
    return (long)u->uc_mcontext.gregs[argument_registers[i]];
}
static void set_result(ucontext_t *u, long result) {
    u->uc_mcontext.gregs[REG_RAX] = result;
}
#elif defined(__aarch64__)
static long argument(const ucontext_t *u, int i) {
    return (long)u->uc_mcontext.regs[i];
}
static void set_result(ucontext_t *u, long result) {
    u->uc_mcontext.regs[0] = (unsigned long)result;
}
#else
#error "registers of a system call: say which they are here"
#endif

typedef enum path_at { BY_DESCRIPTOR, BY_NAME, BY_FOLDER_AND_NAME } path_at;

static const struct caught {
    int number;
    const char *kind;
    path_at where;
    int failure; /* what a disk in trouble answers */
} table[] = {
    {SYS_write, "write", BY_DESCRIPTOR, ENOSPC},
    {SYS_pwrite64, "write", BY_DESCRIPTOR, ENOSPC},
    {SYS_fsync, "sync", BY_DESCRIPTOR, EIO},
    {SYS_fdatasync, "sync", BY_DESCRIPTOR, EIO},
    {SYS_renameat, "rename", BY_FOLDER_AND_NAME, EIO},
    {SYS_renameat2, "rename", BY_FOLDER_AND_NAME, EIO},
    {SYS_openat, "open", BY_FOLDER_AND_NAME, EMFILE},
    {SYS_unlinkat, "remove", BY_FOLDER_AND_NAME, EIO},
    {SYS_mkdirat, "make", BY_FOLDER_AND_NAME, ENOSPC},
#ifdef SYS_rename
    {SYS_rename, "rename", BY_NAME, EIO},
    {SYS_unlink, "remove", BY_NAME, EIO},
    {SYS_rmdir, "remove", BY_NAME, EIO},
    {SYS_mkdir, "make", BY_NAME, ENOSPC},
#endif
};
enum { N_CAUGHT = sizeof table / sizeof table[0] };

/* "open" is for writing, "read" the rest. */
static const char *kind_of(const struct caught *c, const ucontext_t *u) {
    return c->number == SYS_openat && (argument(u, 2) & O_ACCMODE) == O_RDONLY ? "read" : c->kind;
}

static int begins_under(int descriptor, const char *name) {
    char link[32], path[ROOM];
    if (name != NULL && (name[0] == '/' || descriptor == AT_FDCWD)) {
        return strncmp(name, fault.under, fault.under_length) == 0;
    }
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    const ssize_t length = readlink(link, path, sizeof path - 1);
    path[length > 0 ? length : 0] = '\0';
    return strncmp(path, fault.under, fault.under_length) == 0;
}

static int concerns_us(const struct caught *c, const ucontext_t *u) {
    if (strcmp(kind_of(c, u), fault.call) != 0) {
        return 0;
    }
    return c->where == BY_NAME         ? begins_under(AT_FDCWD, (const char *)argument(u, 0))
           : c->where == BY_DESCRIPTOR ? begins_under((int)argument(u, 0), NULL)
                                       : begins_under((int)argument(u, 0), (const char *)argument(u, 1));
}

static void answer(int signal_number, siginfo_t *info, void *context) {
    (void)signal_number;
    ucontext_t *u = context;
    const int before = errno;
    long a[5];
    for (int i = 0; i < 5; i++) {
        a[i] = argument(u, i);
    }
    for (int i = 0; i < N_CAUGHT; i++) {
        if (table[i].number == info->si_syscall && concerns_us(&table[i], u) && is_chosen()) {
            if (fault.mode != MODE_SHORT) {
                set_result(u, -table[i].failure);
                errno = before;
                return;
            }
            a[2] = a[2] > 1 ? a[2] / 2 : a[2];
        }
    }
    const long result = syscall(info->si_syscall, a[0], a[1], a[2], a[3], a[4], OURS);
    set_result(u, result == -1 ? -errno : result);
    errno = before;
}

static void install_filter(void) {
    struct sock_filter code[5 + 2 * N_CAUGHT + 1];
    unsigned short n = 0;
    const unsigned sixth = offsetof(struct seccomp_data, args) + 5 * sizeof(uint64_t);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, sixth); /* little endian: the lower half */
    code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OURS, 0, 1);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (int i = 0; i < N_CAUGHT; i++) {
        code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)table[i].number, 0, 1);
        code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
    }
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    const struct sigaction action = {.sa_sigaction = answer, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART};
    const struct sock_fprog program = {n, code};
    if (sigaction(SIGSYS, &action, NULL) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        perror("nth_failure: seccomp");
        _exit(77);
    }
}

/* ---- begin, end ---- */

static const char *setting(const char *name, const char *otherwise) {
    const char *value = getenv(name);
    return value != NULL ? value : otherwise;
}

__attribute__((constructor)) static void begin(void) {
    static const char *const modes[] = {"error", "full", "short", "kill"};
    const char *wanted = setting("FAULT_MODE", "error");
    if (getenv("FAULT_CALL") == NULL || strcmp(setting("OMPI_COMM_WORLD_RANK", "0"), setting("FAULT_RANK", "0")) != 0) {
        return;
    }
    fault.call = getenv("FAULT_CALL");
    fault.under = setting("FAULT_UNDER", "/");
    fault.under_length = strlen(fault.under);
    fault.count_file = getenv("FAULT_COUNT");
    for (int i = 0; i < 4; i++) {
        fault.mode = strcmp(wanted, modes[i]) == 0 ? (mode)i : fault.mode;
    }
    fault.at = atol(setting("FAULT_AT", "0"));
    if (strcmp(fault.call, "alloc") == 0) {
        dl_iterate_phdr(find_program, NULL);
    } else {
        install_filter();
    }
}

__attribute__((destructor)) static void end(void) {
    if (fault.count_file != NULL) {
        char line[32];
        const int length = snprintf(line, sizeof line, "%ld\n", atomic_load(&calls));
        const int file = open(fault.count_file, O_WRONLY | O_CREAT | O_APPEND, 0666);
        (void)!write(file, line, (size_t)length);
        (void)close(file);
    }
}
