#include "comm/side_address.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Networks of this host, as hy_side_address_own found them: what is near. */
static struct { uint32_t ip, mask; } networks[HY_SIDE_ADDRESSES];

/* Whether `name` is in the list "eth0,ib0"; all are where there is no list. */
static bool is_wanted(const char *name) {
    const char *at = getenv("HYLAS_INTERFACES");
    if (at == NULL || *at == '\0') {
        return true;
    }
    const size_t n = strlen(name);
    for (; at != NULL; at = strchr(at, ',') != NULL ? strchr(at, ',') + 1 : NULL) {
        if (strncmp(at, name, n) == 0 && (at[n] == ',' || at[n] == '\0')) {
            return true;
        }
    }
    return false;
}

static void add_interface(hy_side_address *own, const struct ifaddrs *entry) {
    if (entry->ifa_addr == NULL || entry->ifa_netmask == NULL || entry->ifa_addr->sa_family != AF_INET ||
        (entry->ifa_flags & (IFF_UP | IFF_LOOPBACK)) != IFF_UP || own->n == HY_SIDE_ADDRESSES ||
        !is_wanted(entry->ifa_name)) {
        return;
    }
    struct sockaddr_in address, mask;
    memcpy(&address, entry->ifa_addr, sizeof address);
    memcpy(&mask, entry->ifa_netmask, sizeof mask);
    networks[own->n].ip = own->ip[own->n] = address.sin_addr.s_addr;
    networks[own->n].mask = mask.sin_addr.s_addr;
    own->n++;
}

void hy_side_address_own(hy_side_address *own) {
    struct ifaddrs *entries = NULL;
    memset(own, 0, sizeof *own);
    if (gethostname(own->host, sizeof own->host - 1) != 0) {
        snprintf(own->host, sizeof own->host, "unknown");
    }
    if (getifaddrs(&entries) != 0) {
        return;
    }
    for (const struct ifaddrs *entry = entries; entry != NULL; entry = entry->ifa_next) {
        add_interface(own, entry);
    }
    freeifaddrs(entries);
}

static bool on_one_host(const hy_side_address *a, const hy_side_address *b) {
    return strcmp(a->host, b->host) == 0 && a->n == b->n && memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

static bool is_near(const hy_side_address *own, uint32_t ip) {
    for (int i = 0; i < own->n; i++) {
        if ((ip & networks[i].mask) == (networks[i].ip & networks[i].mask)) {
            return true;
        }
    }
    return false;
}

int hy_side_address_count(const hy_side_address *own, const hy_side_address *other) {
    return other->n + on_one_host(own, other);
}

struct sockaddr_in hy_side_address_at(const hy_side_address *own, const hy_side_address *other, int i) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = other->port};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int left = i - on_one_host(own, other);
    for (int near = 1; near >= 0 && left >= 0; near--) {
        for (int k = 0; k < other->n && left >= 0; k++) {
            if (is_near(own, other->ip[k]) == (near != 0) && left-- == 0) {
                at.sin_addr.s_addr = other->ip[k];
            }
        }
    }
    return at;
}
