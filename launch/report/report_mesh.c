#include "launch/report/report_mesh.h"

#include <string.h>

#include "base/file.h"
#include "base/memory.h"

enum { ENV_MAX = 64 << 20, RANKS_MAX = 1 << 20 };

/* ---- reading ---- */

static json_t *read_env(const char *folder) {
    char path[HY_PATH_MAX], *text = NULL;
    size_t length = 0;
    if (snprintf(path, sizeof path, "%s/env.json", folder) >= (int)sizeof path || !hy_file_exists(path) ||
        hy_file_read(path, ENV_MAX, HY_ERR_DATA, &text, &length) != HY_OK) {
        return NULL;
    }
    json_t *env = json_loadb(text, length, 0, NULL);
    hy_free(text);
    return env;
}

static void place_ranks(hy_report_mesh *mesh) {
    const json_t *hosts = json_object_get(mesh->env, "hosts");
    for (int64_t r = 0; r < mesh->ranks; r++) {
        mesh->host[r] = -1;
    }
    mesh->n_hosts = (int64_t)json_array_size(hosts);
    for (size_t h = 0; h < json_array_size(hosts); h++) {
        const json_t *ranks = json_object_get(json_array_get(hosts, h), "ranks");
        for (size_t i = 0; i < json_array_size(ranks); i++) {
            const int64_t rank = json_integer_value(json_array_get(ranks, i));
            if (rank >= 0 && rank < mesh->ranks) {
                mesh->host[rank] = (int)h;
            }
        }
    }
}

bool hy_report_mesh_read(const char *folder, const hy_config *config, hy_report_mesh *mesh) {
    hy_report_mesh made = {.env = read_env(folder)};
    made.ranks = json_integer_value(json_object_get(made.env, "ranks"));
    made.data = config->parallel.data;
    if (made.ranks < 1 || made.ranks > RANKS_MAX || made.data < 1 || made.ranks % made.data != 0 ||
        HY_NEW("hosts of ranks", made.ranks, &made.host) != HY_OK) {
        hy_report_mesh_free(&made);
        return false;
    }
    made.sequence = made.ranks / made.data;
    place_ranks(&made);
    *mesh = made;
    return true;
}

void hy_report_mesh_free(hy_report_mesh *mesh) {
    json_decref(mesh->env);
    hy_free(mesh->host);
    *mesh = (hy_report_mesh){.ranks = 0};
}

const char *hy_report_host(const hy_report_mesh *mesh, int64_t rank) {
    const json_t *hosts = json_object_get(mesh->env, "hosts");
    const json_t *host = mesh->host[rank] >= 0 ? json_array_get(hosts, (size_t)mesh->host[rank]) : NULL;
    const char *name = json_string_value(json_object_get(host, "host"));
    return name != NULL ? name : "?";
}

/* ---- drawing ---- */

enum { LEFT = 80, TOP = 28, CELLS = 64, CELL = 44, GAP = 10, ROWS_MAX = 64 };

void hy_report_draw_mesh(const void *context, FILE *out, bool alone) {
    const hy_report_mesh *m = context;
    const int64_t columns = m->sequence < CELLS ? m->sequence : CELLS, lines = (m->sequence + CELLS - 1) / CELLS,
                  rows = m->data < ROWS_MAX ? m->data : ROWS_MAX;
    const double fit = (HY_SVG_WIDTH - LEFT - 10.0) / (double)columns, cell = fit < CELL ? fit : CELL,
                 row = cell * (double)lines + GAP;
    hy_svg_open(out, TOP + row * (double)rows + 6.0, "Ranks of the mesh, by host", alone);
    hy_svg_text(out, "small dim", LEFT, 16.0, "sequence: %lld ranks share one", (long long)m->sequence);
    for (int64_t d = 0; d < rows; d++) {
        const double top = TOP + row * (double)d;
        hy_svg_text(out, "small end", LEFT - 8.0, top + cell / 2.0 + 4.0, "data %lld", (long long)d);
        for (int64_t s = 0; s < m->sequence; s++) {
            const int64_t rank = d * m->sequence + s;
            const double x = LEFT + cell * (double)(s % CELLS), y = top + cell * (double)(s / CELLS);
            char tip[400], colour[16];
            (void)snprintf(tip, sizeof tip, "rank %lld: data %lld, sequence %lld, host %s", (long long)rank,
                           (long long)d, (long long)s, hy_report_host(m, rank));
            (void)snprintf(colour, sizeof colour, "h%d", m->host[rank] < 0 ? 6 : m->host[rank] % HY_SVG_COLOURS);
            hy_svg_rect(out, colour, x + 1.0, y + 1.0, cell - 2.0, cell - 2.0, tip);
            if (cell >= 24.0) {
                hy_svg_text(out, "small mid", x + cell / 2.0, y + cell / 2.0 + 4.0, "%lld", (long long)rank);
            }
        }
    }
    hy_svg_close(out);
}
