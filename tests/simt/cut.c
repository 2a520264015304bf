#include "tests/simt/cut.h"

#include <string.h>

#include "tests/simt/simt_internal.h"

static struct {
    bool looks;
    int n, cut;
    hy_simt_site sites[HY_SIMT_SITES_MAX];
} sites;

void hy_simt_collect_sites(void) {
    sites.looks = true;
    sites.n = 0;
    sites.cut = -1;
}

int hy_simt_sites(const hy_simt_site **out) {
    *out = sites.sites;
    return sites.n;
}

void hy_simt_cut(int site) {
    sites.cut = site;
}

static int site_at(const char *what, const char *file, int line) {
    const char *kernel = hy_simt.kernel->name;
    for (int i = 0; i < sites.n; i++) {
        const hy_simt_site *s = &sites.sites[i];
        if (s->line == line && strcmp(s->what, what) == 0 && strcmp(s->file, file) == 0 &&
            strcmp(s->kernel, kernel) == 0) {
            return i;
        }
    }
    if (sites.n == HY_SIMT_SITES_MAX) {
        hy_simt_fail("is at one site more than %d", HY_SIMT_SITES_MAX);
    }
    sites.sites[sites.n] = (hy_simt_site){.kernel = kernel, .what = what, .file = file, .line = line};
    return sites.n++;
}

bool hy_simt_is_cut(const char *what, const char *file, int line) {
    return sites.looks && site_at(what, file, line) == sites.cut;
}
