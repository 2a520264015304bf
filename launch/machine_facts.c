#include "launch/machine_facts.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"

/* The text after "key ... :" (and blanks) in a file of such lines; false if it is not there. */
static bool read_field(const char *path, const char *key, char *text, size_t size) {
    FILE *file = fopen(path, "re");
    char line[512];
    bool found = false;
    while (file != NULL && !found && fgets(line, sizeof line, file) != NULL) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, key, strlen(key)) == 0 && colon != NULL) {
            colon += 1 + strspn(colon + 1, " \t");
            snprintf(text, size, "%.*s", (int)strcspn(colon, "\n"), colon);
            found = true;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return found;
}

void hy_machine_cpu_name(char *text, size_t size) {
    struct utsname system = {.machine = "unknown architecture"};
    char model[128] = "unknown model";
    (void)uname(&system);
    (void)read_field("/proc/cpuinfo", "model name", model, sizeof model);
    snprintf(text, size, "%s, %s", model, system.machine);
}

void hy_machine_host(char *text, size_t size) {
    if (gethostname(text, size) != 0) {
        snprintf(text, size, "unknown");
    }
    text[size - 1] = '\0'; /* a name that is cut has no end */
}

static int64_t meminfo(const char *key) {
    char text[64];
    return read_field("/proc/meminfo", key, text, sizeof text) ? 1024 * (int64_t)strtoll(text, NULL, 10) : -1;
}

/* A number alone in a file; −1 if it is not there or "max". */
static int64_t read_number(const char *path) {
    FILE *file = fopen(path, "re");
    long long value = -1;
    if (file != NULL) {
        if (fscanf(file, "%lld", &value) != 1) {
            value = -1;
        }
        fclose(file);
    }
    return (int64_t)value;
}

hy_machine_memory hy_machine_memory_read(void) {
    hy_machine_memory memory = {.total = meminfo("MemTotal"), .available = meminfo("MemAvailable")};
    int64_t limit = read_number("/sys/fs/cgroup/memory.max"), used = read_number("/sys/fs/cgroup/memory.current");
    if (limit < 0) {
        limit = read_number("/sys/fs/cgroup/memory/memory.limit_in_bytes");
        used = read_number("/sys/fs/cgroup/memory/memory.usage_in_bytes");
    }
    if (limit >= 0 && (memory.total < 0 || limit < memory.total)) {
        memory.total = limit;
        memory.limited = true;
        if (used >= 0 && (memory.available < 0 || limit - used < memory.available)) {
            memory.available = limit - used;
        }
    }
    return memory;
}

bool hy_machine_find_program(const char *name, char *path, size_t size) {
    const char *at = getenv("PATH");
    while (at != NULL && *at != '\0') {
        const size_t length = strcspn(at, ":");
        if (length + 1 + strlen(name) < size) {
            memcpy(path, at, length);
            path[length] = '/';
            memcpy(path + length + 1, name, strlen(name) + 1);
            if (access(path, X_OK) == 0 && !hy_file_is_dir(path)) {
                return true;
            }
        }
        at += length + (at[length] == ':');
    }
    return false;
}

/* −1 = no limit. */
static int64_t limit_of(__rlimit_resource_t resource) {
    struct rlimit limit;
    return getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ? -1 : (int64_t)limit.rlim_cur;
}

int64_t hy_machine_open_files(void) {
    return limit_of(RLIMIT_NOFILE);
}

int64_t hy_machine_locked_memory(void) {
    return limit_of(RLIMIT_MEMLOCK);
}

int64_t hy_machine_shared_memory(void) {
    struct statvfs info;
    return statvfs("/dev/shm", &info) == 0 ? (int64_t)info.f_bavail * (int64_t)info.f_frsize : -1;
}

bool hy_machine_has_rdma(void) {
    DIR *devices = opendir("/sys/class/infiniband");
    bool any = false;
    for (const struct dirent *entry; devices != NULL && !any && (entry = readdir(devices)) != NULL;) {
        any = entry->d_name[0] != '.';
    }
    if (devices != NULL) {
        (void)closedir(devices);
    }
    return any;
}

void hy_machine_limits(char *text, size_t size) {
    const struct {
        const char *name;
        int64_t value;
    } limits[] = {{"memory", limit_of(RLIMIT_AS)},
                  {"stack", limit_of(RLIMIT_STACK)},
                  {"locked memory", limit_of(RLIMIT_MEMLOCK)},
                  {"file size", limit_of(RLIMIT_FSIZE)},
                  {"core file", limit_of(RLIMIT_CORE)}};
    const int64_t files = hy_machine_open_files();
    int used = snprintf(text, size, "open files %s", files < 0 ? "unlimited" : hy_text_count((double)files).s);
    for (size_t i = 0; i < sizeof limits / sizeof limits[0] && used > 0 && (size_t)used < size; i++) {
        used += snprintf(text + used, size - (size_t)used, ", %s %s", limits[i].name,
                         limits[i].value < 0 ? "unlimited" : hy_text_bytes((double)limits[i].value).s);
    }
}
