/* replay [--cases N] FILES AND FOLDERS...: runs a target on each file, then on N mutants of them, the same ones every time. What makes the
 * target crash, or run for more than ten seconds, is left in crash-<number of the case>. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/random.h"
#include "fuzz.h"

enum { SEEDS_MAX = 4096, PATIENCE = 10 /* seconds */ };

typedef struct input {
    size_t size;
    uint8_t *data;
} input;

static input seeds[SEEDS_MAX];
static size_t n_seeds;

/* The case at hand, for the handler. */
static const uint8_t *volatile now;
static volatile size_t now_size;
static char crash_name[64];

static void on_crash(int number) {
    const int fd = open(crash_name, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (fd >= 0) {
        (void)!write(fd, now, now_size);
        close(fd);
    }
    (void)!write(2, "crash: see ", 11);
    (void)!write(2, crash_name, strlen(crash_name));
    (void)!write(2, "\n", 1);
    signal(number, SIG_DFL);
    raise(number);
}

/* From a block of exactly this size, so that a sanitizer sees a read past its end. */
static void run(const uint8_t *data, size_t size, unsigned long long number) {
    uint8_t *exact = malloc(size > 0 ? size : 1);
    FUZZ_NEED(exact != NULL);
    memcpy(exact, data, size);
    snprintf(crash_name, sizeof crash_name, "crash-%llu", number);
    now = exact;
    now_size = size;
    alarm(PATIENCE);
    (void)LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

static void add_seed(const char *path) {
    FILE *file = fopen(path, "rb");
    FUZZ_NEED(file != NULL && n_seeds < SEEDS_MAX);
    input *seed = &seeds[n_seeds++];
    seed->data = malloc(FUZZ_INPUT_MAX);
    FUZZ_NEED(seed->data != NULL);
    seed->size = fread(seed->data, 1, FUZZ_INPUT_MAX, file);
    fclose(file);
}

static int shown(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

static void add_all(const char *path) {
    struct dirent **entries = NULL;
    struct stat info;
    FUZZ_NEED(stat(path, &info) == 0);
    if (!S_ISDIR(info.st_mode)) {
        add_seed(path);
        return;
    }
    const int n = scandir(path, &entries, shown, alphasort);
    for (int i = 0; i < n; i++) {
        char inside[4096];
        snprintf(inside, sizeof inside, "%s/%s", path, entries[i]->d_name);
        add_all(inside);
        free(entries[i]);
    }
    free(entries);
}

int main(int argc, char **argv) {
    static const int crashes[] = {SIGSEGV, SIGFPE, SIGABRT, SIGBUS, SIGILL, SIGALRM};
    static uint8_t mutant[FUZZ_INPUT_MAX];
    unsigned long long cases = 0;
    for (size_t i = 0; i < sizeof crashes / sizeof crashes[0]; i++) {
        signal(crashes[i], on_crash);
    }
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--cases") == 0 && i + 1 < argc) {
            cases = strtoull(argv[++i], NULL, 10);
        } else {
            add_all(argv[i]);
        }
    }
    FUZZ_NEED(n_seeds > 0);
    for (size_t i = 0; i < n_seeds; i++) {
        run(seeds[i].data, seeds[i].size, i);
    }
    for (unsigned long long i = 0; i < cases; i++) {
        const input *seed = &seeds[hy_random_u64(i, 0, 0) % n_seeds];
        memcpy(mutant, seed->data, seed->size);
        run(mutant, fuzz_mutate(mutant, seed->size, sizeof mutant, i), n_seeds + i);
    }
    printf("%zu files, %llu mutants: nothing found\n", n_seeds, cases);
    for (size_t i = 0; i < n_seeds; i++) {
        free(seeds[i].data);
    }
    return 0;
}
