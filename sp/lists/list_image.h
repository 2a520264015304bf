/* Memory that the host writes and the device reads, once per micro-step. Two images alternate: while the device still works with
 * one, the host fills the other. Each lies in the host's memory and is sent to the device's in one transfer. */
#ifndef HY_SP_LIST_IMAGE_H
#define HY_SP_LIST_IMAGE_H

#include "kernels/device.h"
#include "kernels/kernels.h"

typedef struct hy_list_image hy_list_image;

typedef struct hy_block_list {
    const hy_block *host, *device;
    int64_t n;
} hy_block_list;

/* Room for `bytes` of parts, each rounded up to HY_ALIGN. Local. */
HY_MUST_CHECK hy_status hy_list_image_create(hy_device *device, size_t bytes, hy_list_image **out);
void hy_list_image_destroy(hy_list_image *image); /* NULL allowed */

/* The other image, empty: waits until its former contents have left the host's memory. */
void hy_list_image_begin(hy_list_image *image);
/* A part of the host's memory, uninitialised; valid until the image after the next begins. */
void *hy_list_image_take(hy_list_image *image, size_t bytes);
/* Bytes of the image that no part has taken; negative would be a wrong plan. */
int64_t hy_list_image_left(const hy_list_image *image);
/* Where the device will see it. */
const void *hy_list_image_device(const hy_list_image *image, const void *part);
/* Blocks of an array in the image. */
hy_block_list hy_block_list_of(const hy_list_image *image, const hy_block *host, int64_t n);
/* Sends the image: what COMPUTE is given from now on sees it. */
void hy_list_image_end(hy_list_image *image);

#endif
