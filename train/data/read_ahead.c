#include "train/data/read_ahead.h"

#include <pthread.h>
#include <stdbool.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/signals.h"

struct hy_read_ahead {
    void (*work)(void *context);
    void *context;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* what follows */
    bool wanted, ending;
};

static void *work_when_wanted(void *context) {
    hy_read_ahead *a = context;
    hy_log_set_trial(true);
    pthread_mutex_lock(&a->mutex);
    while (!a->ending) {
        if (!a->wanted) {
            pthread_cond_wait(&a->changed, &a->mutex);
            continue;
        }
        pthread_mutex_unlock(&a->mutex);
        a->work(a->context);
        pthread_mutex_lock(&a->mutex);
        a->wanted = false;
        pthread_cond_broadcast(&a->changed);
    }
    pthread_mutex_unlock(&a->mutex);
    return NULL;
}

hy_status hy_read_ahead_create(void (*work)(void *context), void *context, hy_read_ahead **out) {
    HY_TRY(HY_NEW("thread that reads ahead", 1, out));
    (*out)->work = work;
    (*out)->context = context;
    pthread_mutex_init(&(*out)->mutex, NULL);
    pthread_cond_init(&(*out)->changed, NULL);
    return HY_OK;
}

void hy_read_ahead_destroy(hy_read_ahead *a) {
    if (a == NULL) {
        return;
    }
    if (a->has_thread) {
        hy_read_ahead_wait(a);
        pthread_mutex_lock(&a->mutex);
        a->ending = true;
        pthread_cond_broadcast(&a->changed);
        pthread_mutex_unlock(&a->mutex);
        (void)pthread_join(a->thread, NULL);
    }
    pthread_cond_destroy(&a->changed);
    pthread_mutex_destroy(&a->mutex);
    hy_free(a);
}

static bool start_thread_without_signals(hy_read_ahead *a) {
    sigset_t before;
    hy_signals_hold(&before);
    a->has_thread = pthread_create(&a->thread, NULL, work_when_wanted, a) == 0;
    hy_signals_release(&before);
    return a->has_thread;
}

void hy_read_ahead_begin(hy_read_ahead *a) {
    if (!a->has_thread && !start_thread_without_signals(a)) {
        hy_log_set_trial(true);
        a->work(a->context);
        hy_log_set_trial(false);
        return;
    }
    pthread_mutex_lock(&a->mutex);
    a->wanted = true;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->mutex);
}

void hy_read_ahead_wait(hy_read_ahead *a) {
    pthread_mutex_lock(&a->mutex);
    while (a->wanted) {
        pthread_cond_wait(&a->changed, &a->mutex);
    }
    pthread_mutex_unlock(&a->mutex);
}
