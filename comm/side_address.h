/* Where a rank of the side channel can be reached: IPv4 addresses of its host, and the port. */
#ifndef HY_COMM_SIDE_ADDRESS_H
#define HY_COMM_SIDE_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

enum { HY_SIDE_ADDRESSES = 6 };

typedef struct hy_side_address {
    char host[64];
    uint32_t ip[HY_SIDE_ADDRESSES]; /* network order; the loopback's is not among them */
    int32_t n;
    uint16_t port; /* network order */
} hy_side_address;

/* This host's: of all interfaces that are up, or of those named in HYLAS_INTERFACES ("eth0,ib0"). */
void hy_side_address_own(hy_side_address *own);
/* How many places there are to try for `other`, seen from `own`; the i-th of them: the loopback where both are on one host, then those in a
 * network of this host, then the rest. */
int hy_side_address_count(const hy_side_address *own, const hy_side_address *other);
struct sockaddr_in hy_side_address_at(const hy_side_address *own, const hy_side_address *other, int i);

#endif
