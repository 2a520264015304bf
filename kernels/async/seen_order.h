/* What ThreadSanitizer takes for order between threads. It would see one in every mutex that two lanes happen to lock one after the other,
 * and so hardly ever a mark that is missing: between `hide_order` and `show_order` it sees nothing, and what does order lanes (a call that is
 * given, a mark, a signal) is told by `order_before` and `order_after` the same address. In other builds none of this is anything. */
#ifndef HY_KERNELS_SEEN_ORDER_H
#define HY_KERNELS_SEEN_ORDER_H

#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#include <stdint.h>

void AnnotateIgnoreSyncBegin(const char *file, int line);
void AnnotateIgnoreSyncEnd(const char *file, int line);
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);

static inline void hide_order(void) {
    AnnotateIgnoreSyncBegin(__FILE__, __LINE__);
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
}

static inline void show_order(void) {
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
    AnnotateIgnoreSyncEnd(__FILE__, __LINE__);
}

/* Between hide_order and show_order. */
static inline void order_before(const void *address) {
    show_order();
    __tsan_release((void *)(uintptr_t)address);
    hide_order();
}

static inline void order_after(const void *address) {
    show_order();
    __tsan_acquire((void *)(uintptr_t)address);
    hide_order();
}
#else
static inline void hide_order(void) {}

static inline void show_order(void) {}

static inline void order_before(const void *address) {
    (void)address;
}

static inline void order_after(const void *address) {
    (void)address;
}
#endif

#endif
