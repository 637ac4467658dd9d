/* Rows of the op table, one extern a row. */
#ifndef EQ_OPS_TABLE_H
#define EQ_OPS_TABLE_H

#include "tensor/graph.h"

extern const eq_op eq_op_activation;
extern const eq_op eq_op_activation_grad;
extern const eq_op eq_op_add;
extern const eq_op eq_op_constant;

#endif
