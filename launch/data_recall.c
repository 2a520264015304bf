/* hylas data recall: token stores of recall tasks (train/data/recall_data.h), with their answers marked. Filler is random,
 * or the text of another store, so that one model shows recall and the loss of a language model. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "launch/data_actions.h"
#include "launch/options.h"
#include "train/data/recall_data.h"
#include "train/data/token_store.h"

typedef struct recall_options {
    const char *task, *out, *hold_out, *filler;
    int64_t sequences, tokens, documents, pairs_min, pairs, queries, vocab, keys, values, seed;
} recall_options;

typedef struct recall_job {
    const recall_options *options;
    hy_recall_shape shape;
    hy_token_store *text; /* NULL: random filler */
    int64_t text_used;
    hy_token_writer *main, *held; /* held: NULL without --hold-out */
    int64_t written, n_answers, n_held;
    int32_t *tokens, *filler; /* [longest document] */
    uint8_t *answers;         /* [longest document] */
} recall_job;

static const char *const task_names[] = {[HY_RECALL_MQAR] = "mqar", [HY_RECALL_NEEDLE] = "needle"};
enum { N_TASKS = sizeof task_names / sizeof task_names[0] };

static hy_status check_recall_options(const recall_options *o, hy_recall_shape *shape) {
    int64_t task = 0;
    if (o->task == NULL || o->out == NULL) {
        return hy_fail(HY_ERR_USAGE, "%s is missing", o->task == NULL ? "--task mqar|needle" : "--out FILE");
    }
    while (task < N_TASKS && strcmp(o->task, task_names[task]) != 0) {
        task++;
    }
    if (task == N_TASKS) {
        return hy_fail(HY_ERR_USAGE, "--task %s: unknown; nearest: %s", o->task,
                       task_names[hy_text_nearest(o->task, task_names, N_TASKS)]);
    }
    if (o->sequences < 1 || o->documents < 1 || o->documents > o->tokens || o->vocab > INT32_MAX) {
        return hy_fail(HY_ERR_USAGE, "--sequences %lld, --documents %lld, --tokens %lld, --vocab %lld: out of range",
                       (long long)o->sequences, (long long)o->documents, (long long)o->tokens, (long long)o->vocab);
    }
    if (o->hold_out != NULL && o->sequences < 2) {
        return hy_fail(HY_ERR_USAGE, "--hold-out needs at least two sequences");
    }
    const int64_t keys = o->keys > 0 ? o->keys : o->vocab / 4, values = o->values > 0 ? o->values : o->vocab / 4;
    *shape = (hy_recall_shape){.task = (hy_recall_task)task,
                               .pairs_min = o->pairs_min > 0 ? o->pairs_min : o->pairs,
                               .pairs_max = o->pairs,
                               .queries = o->queries,
                               .filler = o->vocab - keys - values,
                               .keys = keys,
                               .values = values,
                               .seed = (uint64_t)o->seed};
    return hy_recall_check(shape, o->tokens / o->documents);
}

static hy_status open_text(recall_job *job) {
    hy_store_summary summary;
    HY_TRY(hy_token_store_check(job->options->filler, 0, &summary));
    HY_TRY(hy_token_store_open(job->options->filler, &job->text));
    if (summary.vocab > job->shape.filler) {
        return hy_fail(HY_ERR_USAGE,
                       "--filler %s: its vocabulary of %lld needs --vocab %lld beside %lld keys and %lld values",
                       job->options->filler, (long long)summary.vocab,
                       (long long)(summary.vocab + job->shape.keys + job->shape.values), (long long)job->shape.keys,
                       (long long)job->shape.values);
    }
    return HY_OK;
}

/* The document's share of the text, read on where the last one ended. */
static hy_status read_filler(recall_job *job, int64_t n) {
    if (n > hy_token_store_tokens(job->text) - job->text_used) {
        return hy_fail(HY_ERR_DATA,
                       "--filler %s: its %lld tokens are used up after %lld of %lld documents; fewer --sequences, "
                       "or more text",
                       job->options->filler, (long long)hy_token_store_tokens(job->text), (long long)job->written,
                       (long long)(job->options->sequences * job->options->documents));
    }
    HY_TRY(hy_token_store_read(job->text, job->text_used, n, job->filler));
    job->text_used += n;
    return HY_OK;
}

static hy_status write_document(recall_job *job, hy_token_writer *writer, int64_t len) {
    const uint64_t document = (uint64_t)job->written;
    if (job->text != NULL) {
        HY_TRY(read_filler(job, hy_recall_count(&job->shape, document, len).filler));
    }
    hy_recall_document(&job->shape, document, len, job->text != NULL ? job->filler : NULL, job->tokens, job->answers);
    job->written++;
    for (int64_t i = 0; i < len; i++) {
        job->n_answers += job->answers[i];
    }
    HY_TRY(hy_token_writer_append(writer, job->tokens, len));
    HY_TRY(hy_token_writer_append_answers(writer, job->answers, len));
    return hy_token_writer_end_document(writer);
}

static hy_status write_sequences(recall_job *job) {
    const recall_options *o = job->options;
    for (int64_t s = 0; s < o->sequences; s++) {
        const bool hold = job->held != NULL && hy_data_holds(s);
        job->n_held += hold;
        for (int64_t d = 0; d < o->documents; d++) {
            const int64_t len = o->tokens / o->documents + (d < o->tokens % o->documents);
            HY_TRY(write_document(job, hold ? job->held : job->main, len));
        }
    }
    HY_TRY(hy_token_writer_finish(job->main));
    return job->held != NULL ? hy_token_writer_finish(job->held) : HY_OK;
}

static hy_status prepare_recall(recall_job *job) {
    const recall_options *o = job->options;
    const int64_t longest = o->tokens / o->documents + 1;
    char kind[HY_TOKENIZER_MAX]; /* what ids mean, which is the same for all tasks */
    HY_TRY(o->filler != NULL ? open_text(job) : HY_OK);
    snprintf(kind, sizeof kind, "recall: %.16s %lld, keys %lld, values %lld",
             job->text != NULL ? hy_token_store_tokenizer(job->text) : "filler", (long long)job->shape.filler,
             (long long)job->shape.keys, (long long)job->shape.values);
    HY_TRY(HY_NEW("tokens", longest, &job->tokens));
    HY_TRY(HY_NEW("filler", longest, &job->filler));
    HY_TRY(HY_NEW("answers", longest, &job->answers));
    HY_TRY(hy_token_writer_create(o->out, o->vocab, kind, &job->main));
    return o->hold_out != NULL ? hy_token_writer_create(o->hold_out, o->vocab, kind, &job->held) : HY_OK;
}

static hy_status make_store(const recall_options *options) {
    recall_job job = {.options = options};
    HY_TRY(check_recall_options(options, &job.shape));
    hy_status status = prepare_recall(&job);
    if (status == HY_OK) {
        status = write_sequences(&job);
    }
    if (status == HY_OK) {
        printf("%s: %s tokens in %lld documents, %lld answers (chance: one in %lld)\n", options->out,
               hy_text_count((double)(options->sequences * options->tokens)).s, (long long)job.written,
               (long long)job.n_answers, (long long)job.shape.values);
        if (options->hold_out != NULL) {
            printf("%s: %lld of these %lld sequences, held out for validation\n", options->hold_out,
                   (long long)job.n_held, (long long)options->sequences);
        }
    }
    hy_token_writer_destroy(job.main);
    hy_token_writer_destroy(job.held);
    hy_token_store_close(job.text);
    hy_free(job.tokens);
    hy_free(job.filler);
    hy_free(job.answers);
    return status;
}

hy_status hy_data_recall(int argc, char **argv, hy_comm *world) {
    recall_options o = {.sequences = 1024, .tokens = 256, .documents = 1, .pairs = 8, .vocab = 512, .seed = 1};
    const hy_option options[] = {
        {"--task", HY_OPTION_TEXT, &o.task, "TASK",
         "mqar: facts, then queries among filler; needle: facts among filler, then queries"},
        {"--out", HY_OPTION_TEXT, &o.out, "FILE", "the token store to write"},
        {"--hold-out", HY_OPTION_TEXT, &o.hold_out, "FILE",
         "every 50th sequence goes to this second store instead: for validation"},
        {"--sequences", HY_OPTION_COUNT, &o.sequences, "N", "sequences (1024)"},
        {"--tokens", HY_OPTION_COUNT, &o.tokens, "N", "tokens of a sequence (256): data.sequence of the training"},
        {"--documents", HY_OPTION_COUNT, &o.documents, "N", "documents of equal length in a sequence (1)"},
        {"--pairs", HY_OPTION_COUNT, &o.pairs, "N", "facts of a document (8); a needle is one"},
        {"--pairs-min", HY_OPTION_INT, &o.pairs_min, "N", "from so many on, evenly, rather than --pairs in each"},
        {"--queries", HY_OPTION_INT, &o.queries, "N", "queries of a document (as many as facts)"},
        {"--vocab", HY_OPTION_COUNT, &o.vocab, "N", "ids (512): filler first, then keys, then values"},
        {"--keys", HY_OPTION_INT, &o.keys, "N", "ids that are keys (a quarter)"},
        {"--values", HY_OPTION_INT, &o.values, "N", "ids that are values (a quarter)"},
        {"--filler", HY_OPTION_TEXT, &o.filler, "FILE", "a token store whose text is the filler (random ids)"},
        {"--seed", HY_OPTION_INT, &o.seed, "N", "other seeds, other documents (1)"},
    };
    const hy_usage usage = {
        "hylas data recall --task mqar|needle --out FILE [options]",
        "Makes a token store that asks for facts of its own context: pairs of a key and a value are stated, later\n"
        "a key comes again and its value is the answer. Which tokens are answers is stored with them; training\n"
        "(data.loss), validation and eval use it. The same options give the same file.",
        options,
        sizeof options / sizeof options[0],
        0,
        0};
    hy_args args;
    HY_TRY(hy_options_parse(&usage, argc, argv, world, &args));
    if (args.help) {
        return HY_OK;
    }
    return hy_comm_agree(world, hy_comm_rank(world) == 0 ? make_store(&o) : HY_OK);
}
