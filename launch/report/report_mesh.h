/* The ranks of a run, as the mesh has them and where they ran: from its env.json (docs/json.md) and config.yaml. */
#ifndef HY_LAUNCH_REPORT_MESH_H
#define HY_LAUNCH_REPORT_MESH_H

#include <jansson.h>

#include "launch/plot/svg.h"
#include "train/run/config.h"

typedef struct hy_report_mesh {
    json_t *env;
    int64_t ranks, data, sequence, n_hosts;
    int *host; /* [ranks]: index in env's "hosts"; −1: unknown */
} hy_report_mesh;

/* Reads <folder>/env.json; false where there is none, or it tells no ranks. Local. */
bool hy_report_mesh_read(const char *folder, const hy_config *config, hy_report_mesh *mesh);
void hy_report_mesh_free(hy_report_mesh *mesh);
/* "vm"; "?" where it is not known. */
const char *hy_report_host(const hy_report_mesh *mesh, int64_t rank);

hy_svg_draw hy_report_draw_mesh; /* of a hy_report_mesh: a row for each sequence group, ranks coloured by their hosts */

#endif
