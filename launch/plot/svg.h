/* SVG, written piece by piece: what all pictures of hylas are drawn with, alone in a file or inside a page. Lengths are pixels at default size, y goes
 * down. How things look is said by classes, whose rules hy_svg_put_style writes, for light and dark screens:
 *
 *   f0 ... f7   filled with a colour of the series; these are told apart by readers who do not see all colours alike
 *   h0 ... h7   filled with it, pale enough for text upon it
 *   s0 ... s7   stroked with it
 *   d1, d2, d3  dashed
 *   grid, axis, lane, path and mark (a critical path), ideal (dashed), pale (see-through)
 *   end, mid (where a text is anchored), small, head, dim */
#ifndef HY_LAUNCH_PLOT_SVG_H
#define HY_LAUNCH_PLOT_SVG_H

#include <stdbool.h>
#include <stdio.h>

#include "base/status.h"

enum { HY_SVG_COLOURS = 8, HY_SVG_WIDTH = 1000 }; /* the width of a picture */

/* Rules for what is drawn; a file alone has them already. */
void hy_svg_put_style(FILE *out);
/* Text as XML and HTML take it, also between double quotes; bytes that are no UTF-8, or no characters there, become U+FFFD. */
void hy_svg_put_escaped(FILE *out, const char *text);

/* `title`: what the picture shows, for who cannot see it. `alone`: a file, not a part of a page. */
void hy_svg_open(FILE *out, double height, const char *title, bool alone);
void hy_svg_close(FILE *out);

/* `tip`: shown by a browser over the rectangle; NULL: nothing. */
void hy_svg_rect(FILE *out, const char *classes, double x, double y, double width, double height, const char *tip);
void hy_svg_line(FILE *out, const char *classes, double x1, double y1, double x2, double y2);
void hy_svg_dot(FILE *out, const char *classes, double x, double y, double radius);
HY_PRINTF(5, 6) void hy_svg_text(FILE *out, const char *classes, double x, double y, const char *format, ...);

/* A line through points; the first of each stretch with `move`. */
void hy_svg_path_open(FILE *out, const char *classes);
void hy_svg_path_point(FILE *out, bool move, double x, double y);
void hy_svg_path_close(FILE *out);

/* What is drawn until the end of it is seen only inside the rectangle; coordinates stay those of the picture. */
void hy_svg_clip_open(FILE *out, double x, double y, double width, double height);
void hy_svg_clip_close(FILE *out);

/* Names with a swatch each, in rows from (x, y) on; `classes`: of the swatches, or NULL for f0, f1, ... The height they take. */
void hy_svg_legend(FILE *out, double x, double y, double width, const char *const *names, const char *const *classes,
                   int n);
double hy_svg_legend_height(double width, const char *const *names, int n);

/* Draws `draw(context, out, true)` into a file: readers see the old one or the new. Local. */
typedef void hy_svg_draw(const void *context, FILE *out, bool alone);
HY_MUST_CHECK hy_status hy_svg_write(const char *path, hy_svg_draw *draw, const void *context);

#endif
