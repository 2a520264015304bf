#include "sp/lists/list_image.h"

#include <assert.h>

#include "base/memory.h"
#include "sp/carve.h"

typedef struct half {
    char *host, *device;
    hy_mark sent; /* COPY: the host's memory was read */
    hy_mark read; /* COMPUTE: nothing given before it reads the device's memory any more */
} half;

struct hy_list_image {
    hy_device *device;
    size_t bytes, used;
    half halves[2];
    int now;
};

hy_status hy_list_image_create(hy_device *device, size_t bytes, hy_list_image **out) {
    hy_list_image *image = NULL;
    HY_TRY(HY_NEW("list images", 1, &image));
    image->device = device;
    image->bytes = bytes;
    hy_status status = HY_OK;
    for (int i = 0; i < 2; i++) {
        image->halves[i].sent.lane = HY_LANE_COPY;
        HY_TRY_GOTO(status, hy_alloc("lists on the host", bytes, (void **)&image->halves[i].host), failed);
        HY_TRY_GOTO(status, hy_device_alloc(device, "lists", bytes, (void **)&image->halves[i].device), failed);
    }
    *out = image;
    return HY_OK;
failed:
    hy_list_image_destroy(image);
    return status;
}

void hy_list_image_destroy(hy_list_image *image) {
    if (image) {
        hy_device_wait(image->device, hy_device_mark(image->device, HY_LANE_COMPUTE));
        for (int i = 0; i < 2; i++) {
            hy_device_wait(image->device, image->halves[i].sent);
            hy_free(image->halves[i].host);
            hy_device_free(image->device, image->halves[i].device);
        }
        hy_free(image);
    }
}

void hy_list_image_begin(hy_list_image *image) {
    image->halves[image->now].read = hy_device_mark(image->device, HY_LANE_COMPUTE);
    image->now = !image->now;
    image->used = 0;
    hy_device_wait(image->device, image->halves[image->now].sent);
}

void *hy_list_image_take(hy_list_image *image, size_t bytes) {
    char *part = image->halves[image->now].host + image->used;
    image->used += hy_aligned(bytes);
    assert(image->used <= image->bytes);
    return part;
}

int64_t hy_list_image_left(const hy_list_image *image) {
    return (int64_t)image->bytes - (int64_t)image->used;
}

const void *hy_list_image_device(const hy_list_image *image, const void *part) {
    const half *h = &image->halves[image->now];
    return h->device + ((const char *)part - h->host);
}

hy_block_list hy_block_list_of(const hy_list_image *image, const hy_block *host, int64_t n) {
    return (hy_block_list){.host = host, .device = hy_list_image_device(image, host), .n = n};
}

void hy_list_image_end(hy_list_image *image) {
    half *h = &image->halves[image->now];
    hy_device_after(image->device, HY_LANE_COPY, h->read);
    hy_device_upload(image->device, HY_LANE_COPY, h->host, image->used, h->device);
    h->sent = hy_device_mark(image->device, HY_LANE_COPY);
    hy_device_after(image->device, HY_LANE_COMPUTE, h->sent);
}
