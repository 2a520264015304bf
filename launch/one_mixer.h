/* A model of one layer, to ask its graph what a kind of mixer is made of. */
#ifndef HY_LAUNCH_ONE_MIXER_H
#define HY_LAUNCH_ONE_MIXER_H

#include "layers/graph/graph.h"
#include "layers/model_build.h"

/* The mixer with its defaults. Local. */
HY_MUST_CHECK hy_status hy_one_mixer_create(const char *kind, hy_model **model);

#endif
