#include "train/run/tensorboard.h"

#include <errno.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"

enum { SUMMARY_MAX = HY_SCALARS_MAX * (HY_TAG_MAX + 16), EVENT_MAX = SUMMARY_MAX + 64, FRAME = 8 + 4 + 4 };

struct hy_tensorboard {
    FILE *file;
    off_t end; /* bytes of whole records */
    char path[HY_PATH_MAX];
};

/* ---- checks ---- */

static uint32_t crc32c(const uint8_t *bytes, size_t n) {
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < n; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ (0x82F63B78u & (0u - (crc & 1u)));
        }
    }
    return ~crc;
}

static uint32_t check_of(const uint8_t *bytes, size_t n) {
    const uint32_t crc = crc32c(bytes, n);
    return ((crc >> 15) | (crc << 17)) + 0xA282EAD8u;
}

/* ---- messages ---- */

typedef struct message {
    uint8_t bytes[EVENT_MAX];
    size_t n;
} message;

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

static void put_fixed(message *m, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) {
        m->bytes[m->n++] = (uint8_t)(value >> (8 * i));
    }
}

static void put_varint(message *m, uint64_t value) {
    for (; value >= 0x80; value >>= 7) {
        m->bytes[m->n++] = (uint8_t)(value | 0x80);
    }
    m->bytes[m->n++] = (uint8_t)value;
}

static void put_field_key(message *m, unsigned field, unsigned wire) {
    put_varint(m, (uint64_t)field << 3 | wire);
}

static void put_bytes(message *m, unsigned field, const void *bytes, size_t n) {
    put_field_key(m, field, WIRE_BYTES);
    put_varint(m, n);
    memcpy(m->bytes + m->n, bytes, n);
    m->n += n;
}

static void put_scalar(message *summary, const hy_scalar *scalar) {
    message value = {.n = 0};
    const float single = (float)scalar->value;
    uint32_t bits;
    memcpy(&bits, &single, sizeof bits);
    put_bytes(&value, 1, scalar->tag, strnlen(scalar->tag, HY_TAG_MAX));
    put_field_key(&value, 2, WIRE_32);
    put_fixed(&value, bits, 4);
    put_bytes(summary, 1, value.bytes, value.n);
}

static void begin_event(message *event, int64_t step) {
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_REALTIME, &now);
    const double seconds = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    uint64_t bits;
    memcpy(&bits, &seconds, sizeof bits);
    event->n = 0;
    put_field_key(event, 1, WIRE_64);
    put_fixed(event, bits, 8);
    put_field_key(event, 2, WIRE_VARINT);
    put_varint(event, (uint64_t)step);
}

/* ---- the file ---- */

static hy_status write_record(hy_tensorboard *board, const message *event) {
    message record = {.n = 0};
    _Static_assert(HY_SCALARS_MAX > 0 && FRAME + 40 < EVENT_MAX - SUMMARY_MAX, "a record with its frame fits");
    put_fixed(&record, event->n, 8);
    put_fixed(&record, check_of(record.bytes, 8), 4);
    memcpy(record.bytes + record.n, event->bytes, event->n);
    record.n += event->n;
    put_fixed(&record, check_of(event->bytes, event->n), 4);
    if (fwrite(record.bytes, 1, record.n, board->file) == record.n && fflush(board->file) == 0) {
        board->end += (off_t)record.n;
        return HY_OK;
    }
    const hy_status status = hy_fail(HY_ERR_ENV, "%s: cannot be written: %s", board->path, strerror(errno));
    __fpurge(board->file);
    clearerr(board->file);
    (void)!ftruncate(fileno(board->file), board->end);
    (void)fseeko(board->file, board->end, SEEK_SET);
    return status;
}

static hy_status write_head(hy_tensorboard *board, int64_t last_step) {
    static const char version[] = "brain.Event:2";
    message event, session = {.n = 0};
    begin_event(&event, 0);
    put_bytes(&event, 3, version, sizeof version - 1);
    HY_TRY(write_record(board, &event));
    put_field_key(&session, 1, WIRE_VARINT);
    put_varint(&session, 1);
    begin_event(&event, last_step + 1);
    put_bytes(&event, 7, session.bytes, session.n);
    return write_record(board, &event);
}

/* Readers take a folder's files in the order of their names: the time comes first. */
static hy_status create_event_file(const char *dir, hy_tensorboard *board) {
    char host[64] = "";
    (void)gethostname(host, sizeof host - 1);
    for (int n = 0; board->file == NULL; n++) {
        const int length = snprintf(board->path, sizeof board->path, "%s/events.out.tfevents.%010lld.%s.%ld.%d", dir,
                                    (long long)time(NULL), host, (long)getpid(), n);
        board->file = length < (int)sizeof board->path ? fopen(board->path, "wxe") : NULL;
        if (board->file == NULL && errno != EEXIST) {
            return hy_fail(HY_ERR_ENV, "%s: cannot be created: %s", board->path, strerror(errno));
        }
    }
    return HY_OK;
}

hy_status hy_tensorboard_open(const char *dir, int64_t last_step, hy_tensorboard **out) {
    hy_tensorboard *board = NULL;
    HY_TRY(HY_NEW("TensorBoard file", 1, &board));
    hy_status status = create_event_file(dir, board);
    if (status == HY_OK) {
        status = write_head(board, last_step);
    }
    if (status != HY_OK) {
        hy_tensorboard_close(board);
        return status;
    }
    *out = board;
    return HY_OK;
}

void hy_tensorboard_close(hy_tensorboard *board) {
    if (board == NULL) {
        return;
    }
    if (board->file != NULL) {
        fclose(board->file);
    }
    hy_free(board);
}

hy_status hy_tensorboard_add(hy_tensorboard *board, int64_t step, const hy_scalar *scalars, int n) {
    message event, summary = {.n = 0};
    for (int i = 0; i < n && i < HY_SCALARS_MAX; i++) {
        put_scalar(&summary, &scalars[i]);
    }
    begin_event(&event, step);
    put_bytes(&event, 5, summary.bytes, summary.n);
    return write_record(board, &event);
}
