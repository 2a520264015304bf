#include "launch/plot/svg.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/utf8.h"

/* ---- how it looks ---- */

/* Okabe and Ito's colours; on dark ground the blue and the black are lighter. */
static const char *const light[HY_SVG_COLOURS] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                                  "#e69f00", "#56b4e9", "#333333", "#999933"};
static const char *const dark[HY_SVG_COLOURS] = {"#3d9be0", "#e8752a", "#1db58a", "#d990b8",
                                                 "#eab02e", "#8accf2", "#e6e6e6", "#b5b552"};

static void put_colours(FILE *out, const char *const colours[HY_SVG_COLOURS]) {
    for (int i = 0; i < HY_SVG_COLOURS; i++) {
        fprintf(out, "svg .f%d{fill:%s}svg .s%d{stroke:%s}svg .h%d{fill:%s;fill-opacity:.4}\n", i, colours[i], i,
                colours[i], i, colours[i]);
    }
}

void hy_svg_put_style(FILE *out) {
    fputs(
        "svg text{font:12px sans-serif;fill:#222}\nsvg .small{font-size:11px}svg .head{font-size:13px;font-weight:bold}"
        "svg .dim{fill:#595959}\nsvg .end{text-anchor:end}svg .mid{text-anchor:middle}\n"
        "svg path,svg line{fill:none;stroke-width:1.5}svg .grid{stroke:#ddd;stroke-width:1}"
        "svg .axis{stroke:#666;stroke-width:1}\nsvg .ground{fill:#fff}svg .pale{opacity:.3;stroke:none}"
        "svg .lane{fill:#ececec}svg .mark{fill:#b00020}\nsvg "
        ".path{stroke:#b00020;stroke-width:2.5;stroke-linecap:round}"
        "svg .d1{stroke-dasharray:7 3}svg .d2{stroke-dasharray:2 3}svg .d3{stroke-dasharray:8 3 2 3}\n"
        "svg .ideal{stroke:#666;stroke-dasharray:5 4;stroke-width:1}\n",
        out);
    put_colours(out, light);
    fputs(
        "@media (prefers-color-scheme:dark){\nsvg text{fill:#e6e6e6}svg .dim{fill:#b0b0b0}svg .grid{stroke:#3a3d42}"
        "svg .axis,svg .ideal{stroke:#a0a0a0}\nsvg .ground{fill:#16181c}svg .lane{fill:#2b2f35}svg .mark{fill:#ff6b81}"
        "svg .path{stroke:#ff6b81}\n",
        out);
    put_colours(out, dark);
    fputs("}\n", out);
}

void hy_svg_put_escaped(FILE *out, const char *text) {
    static const char unknown[] = "\xef\xbf\xbd";
    size_t left = strlen(text);
    while (left > 0) {
        uint32_t code = 0;
        const size_t n = hy_utf8_decode(text, left, &code);
        const bool control = code < ' ' && code != '\n' && code != '\t';
        if (n == 0 || control || (code >= 0x7f && code < 0xa0) || (code & 0xfffe) == 0xfffe) {
            fputs(unknown, out);
        } else if (code == '&') {
            fputs("&amp;", out);
        } else if (code == '<') {
            fputs("&lt;", out);
        } else if (code == '>') {
            fputs("&gt;", out);
        } else if (code == '"') {
            fputs("&quot;", out);
        } else {
            (void)fwrite(text, 1, n, out);
        }
        text += n > 0 ? n : 1;
        left -= n > 0 ? n : 1;
    }
}

/* ---- pieces ---- */

void hy_svg_open(FILE *out, double height, const char *title, bool alone) {
    fprintf(out, "<svg%s viewBox=\"0 0 %d %.0f\"", alone ? " xmlns=\"http://www.w3.org/2000/svg\"" : "", HY_SVG_WIDTH,
            height);
    if (alone) {
        fprintf(out, " width=\"%d\" height=\"%.0f\"", HY_SVG_WIDTH, height);
    }
    fputs(" role=\"img\" aria-label=\"", out);
    hy_svg_put_escaped(out, title);
    fputs("\">\n", out);
    if (alone) {
        fputs("<style>\n", out);
        hy_svg_put_style(out);
        fprintf(out, "</style>\n<rect class=\"ground\" width=\"%d\" height=\"%.0f\"/>\n", HY_SVG_WIDTH, height);
    }
}

void hy_svg_close(FILE *out) {
    fputs("</svg>\n", out);
}

void hy_svg_rect(FILE *out, const char *classes, double x, double y, double width, double height, const char *tip) {
    fprintf(out, "<rect class=\"%s\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\"", classes, x, y, width,
            height);
    if (tip != NULL) {
        fputs("><title>", out);
        hy_svg_put_escaped(out, tip);
        fputs("</title></rect>\n", out);
    } else {
        fputs("/>\n", out);
    }
}

void hy_svg_line(FILE *out, const char *classes, double x1, double y1, double x2, double y2) {
    fprintf(out, "<line class=\"%s\" x1=\"%.2f\" y1=\"%.2f\" x2=\"%.2f\" y2=\"%.2f\"/>\n", classes, x1, y1, x2, y2);
}

void hy_svg_dot(FILE *out, const char *classes, double x, double y, double radius) {
    fprintf(out, "<circle class=\"%s\" cx=\"%.2f\" cy=\"%.2f\" r=\"%.1f\"/>\n", classes, x, y, radius);
}

void hy_svg_text(FILE *out, const char *classes, double x, double y, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(out, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\">", classes, x, y);
    hy_svg_put_escaped(out, text);
    fputs("</text>\n", out);
}

void hy_svg_path_open(FILE *out, const char *classes) {
    fprintf(out, "<path class=\"%s\" d=\"", classes);
}

void hy_svg_path_point(FILE *out, bool move, double x, double y) {
    fprintf(out, "%c%.1f %.1f", move ? 'M' : 'L', x, y);
}

void hy_svg_path_close(FILE *out) {
    fputs("\"/>\n", out);
}

void hy_svg_clip_open(FILE *out, double x, double y, double width, double height) {
    fprintf(out,
            "<svg x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" viewBox=\"%.1f %.1f %.1f %.1f\" "
            "overflow=\"hidden\">\n",
            x, y, width, height, x, y, width, height);
}

void hy_svg_clip_close(FILE *out) {
    fputs("</svg>\n", out);
}

/* ---- legend ---- */

enum { ROW = 20, SWATCH = 18 };
static const double LETTER = 6.4, GAP = 20.0;

/* Where name i stands, from what stood before it; then what stands after it. */
static void place_name(const char *name, double width, double *at, double *row, double *next) {
    const double wide = SWATCH + LETTER * (double)hy_utf8_count(name) + GAP;
    *at = *next;
    if (*at > 0.0 && *at + wide - GAP > width) {
        *at = 0.0;
        *row += ROW;
    }
    *next = *at + wide;
}

double hy_svg_legend_height(double width, const char *const *names, int n) {
    double at = 0.0, row = 0.0, next = 0.0;
    for (int i = 0; i < n; i++) {
        place_name(names[i], width, &at, &row, &next);
    }
    return row + ROW;
}

void hy_svg_legend(FILE *out, double x, double y, double width, const char *const *names, const char *const *classes,
                   int n) {
    double at = 0.0, row = 0.0, next = 0.0;
    for (int i = 0; i < n; i++) {
        char own[24];
        (void)snprintf(own, sizeof own, "f%d", i % HY_SVG_COLOURS);
        place_name(names[i], width, &at, &row, &next);
        hy_svg_rect(out, classes != NULL ? classes[i] : own, x + at, y + row + 3.0, 12.0, 10.0, NULL);
        hy_svg_text(out, "", x + at + SWATCH, y + row + 12.0, "%s", names[i]);
    }
}

/* ---- files ---- */

hy_status hy_svg_write(const char *path, hy_svg_draw *draw, const void *context) {
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    if (out == NULL) {
        return hy_fail(HY_ERR_MEMORY, "%s: no memory to draw it", path);
    }
    draw(context, out, true);
    const bool failed = ferror(out) != 0;
    hy_status status = fclose(out) != 0 || failed ? hy_fail(HY_ERR_MEMORY, "%s: no memory to draw it", path) : HY_OK;
    if (status == HY_OK) {
        status = hy_file_write_atomic(path, text, length, HY_ERR_FAILED);
    }
    free(text);
    return status;
}
