/* "Did you mean": the restricted Damerau-Levenshtein distance (optimal string alignment), three rows at a time:
 *
 *     d[i][j] = min(d[i-1][j] + 1, d[i][j-1] + 1, d[i-1][j-1] + (a_i != b_j), d[i-2][j-2] + 1 for swapped neighbours)
 */
#include <string.h>

#include "base/text.h"

enum { WORD_MAX = 127 };

static int64_t least_distance(int64_t a, int64_t b) {
    return a < b ? a : b;
}

int64_t hy_text_distance(const char *a, const char *b) {
    const size_t n = strnlen(a, WORD_MAX), m = strnlen(b, WORD_MAX);
    int64_t rows[3][WORD_MAX + 1];
    for (size_t j = 0; j <= m; j++) {
        rows[0][j] = (int64_t)j;
    }
    for (size_t i = 1; i <= n; i++) {
        const int64_t *before = rows[(i + 1) % 3], *above = rows[(i - 1) % 3];
        int64_t *row = rows[i % 3];
        row[0] = (int64_t)i;
        for (size_t j = 1; j <= m; j++) {
            row[j] = least_distance(above[j], row[j - 1]) + 1;
            row[j] = least_distance(row[j], above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                row[j] = least_distance(row[j], before[j - 2] + 1);
            }
        }
    }
    return rows[n % 3][m];
}

/* Whether `word` is the first letters of the words of `phrase`, of which there are two or more. */
static int is_initials(const char *word, const char *phrase) {
    size_t letters = 0;
    int at_start = 1;
    for (; *phrase != '\0'; phrase++) {
        if (at_start && word[letters++] != *phrase) {
            return 0;
        }
        at_start = *phrase == '_' || *phrase == '-';
    }
    return letters >= 2 && word[letters] == '\0';
}

int64_t hy_text_dissimilarity(const char *word, const char *name) {
    const int64_t distance = hy_text_distance(word, name);
    return distance > 1 && (is_initials(word, name) || is_initials(name, word)) ? 1 : distance;
}

int64_t hy_text_nearest(const char *word, const char *const *names, int64_t count) {
    int64_t best = -1, best_distance = 0;
    for (int64_t i = 0; i < count; i++) {
        const int64_t distance = hy_text_dissimilarity(word, names[i]);
        if (best < 0 || distance < best_distance) {
            best = i;
            best_distance = distance;
        }
    }
    return best;
}
