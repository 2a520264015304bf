#include "launch/plot/strip.h"

static const double WIDE = 2.0; /* pixels of what is drawn by itself */

static double place(const hy_strip *s, double time) {
    const double clipped = time < s->begin ? s->begin : time > s->end ? s->end : time;
    return s->width * (clipped - s->begin) / (s->end - s->begin);
}

void hy_strip_add(hy_strip *s, int kind, double begin, double end, const char *tip) {
    const double from = place(s, begin), to = place(s, end);
    if (to - from >= WIDE) {
        hy_svg_rect(s->out, s->classes[kind], s->left + from, s->top, to - from, s->height, tip);
        return;
    }
    for (int column = (int)from; column < to && column < (int)s->width; column++) {
        const double low = from > column ? from : column, high = to < column + 1 ? to : column + 1;
        s->filled[column][kind] += high - low;
    }
}

/* What fills most of a pixel; −1: it is rather empty. */
static int kind_of(const double filled[HY_STRIP_KINDS]) {
    int most = 0;
    double all = 0.0;
    for (int k = 0; k < HY_STRIP_KINDS; k++) {
        all += filled[k];
        most = filled[k] > filled[most] ? k : most;
    }
    return all >= 0.3 ? most : -1;
}

static void put_kind(const hy_strip *s, int kind) {
    const int width = (int)s->width;
    bool any = false;
    for (int column = 0; column < width; column++) {
        int last = column;
        while (last < width && kind_of(s->filled[last]) == kind) {
            last++;
        }
        if (last > column) {
            if (!any) {
                hy_svg_path_open(s->out, s->classes[kind]);
            }
            fprintf(s->out, "M%.1f %.1fh%dv%.1fh-%dz", s->left + column, s->top, last - column, s->height,
                    last - column);
            any = true;
            column = last;
        }
    }
    if (any) {
        hy_svg_path_close(s->out);
    }
}

void hy_strip_finish(const hy_strip *s) {
    for (int kind = 0; kind < HY_STRIP_KINDS; kind++) {
        put_kind(s, kind);
    }
}
