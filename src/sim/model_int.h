// SPDX-License-Identifier: Apache-2.0
//
// What the files of the model share.
#ifndef WEIR_SIM_MODEL_INT_H
#define WEIR_SIM_MODEL_INT_H

#include "sim/model.h"

// model_topic.c
void topics_free(struct model *m);
void topics_restart(struct model *m);
// model_group.c
void groups_free(struct model *m);
void groups_restart(struct model *m);
// model_damage.c
void hurts_free(struct model *m);

#endif
