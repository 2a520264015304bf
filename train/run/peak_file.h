/* peak.json in the run folder: the peak of every host that the run has been on, so that its MFU means the same after a
 * resume, and a peak measured beside other work is found out by a better one. */
#ifndef HY_TRAIN_PEAK_FILE_H
#define HY_TRAIN_PEAK_FILE_H

#include "train/run/gemm_peak.h"

/* Whether `now` replaces what was found earlier for the same host, processor and counts. Within 10% the earlier one
 * stays; else the one that was less disturbed; of equally undisturbed ones the higher, since what disturbs makes a peak
 * lower. */
bool hy_host_peak_replaces(const hy_host_peak *now, const hy_host_peak *earlier);

/* Each host's peak becomes the one that counts (hosts is changed), the file is written anew where that changes it, and
 * what disagrees or was measured beside other work is logged as a warning. A file that cannot be read or written is a
 * warning too: no run fails for it. Returns the sum over hosts. Local, rank 0. */
double hy_peak_file_merge(const char *path, hy_host_peak *hosts, int n_hosts);

#endif
