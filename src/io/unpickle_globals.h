/* What a checkpoint's pickle may name: the storage types, and the few functions that make tensors and dictionaries. No
 * function is ever called for its effect; each stands for a rule that turns arguments into a value. */
#ifndef EQ_IO_UNPICKLE_GLOBALS_H
#define EQ_IO_UNPICKLE_GLOBALS_H

#include "io/unpickle.h"

/* The number of the global; -1 when it is not one of those that are known. */
int eq_pickle_global_find(eq_pickle_text module, eq_pickle_text name);

/* function(*arguments), both from the stack; at: the offset of the call. */
eq_status eq_pickle_call(eq_context *ctx, eq_pickle *pickle, const eq_pickle_value *function,
                         const eq_pickle_value *arguments, size_t at, eq_pickle_value **out);

/* The storage that a persistent id stands for: ("storage", type, key, location, elements), in the older container with
 * a view on it, None or (key, first, elements), as sixth. */
eq_status eq_pickle_persistent(eq_context *ctx, eq_pickle *pickle, const eq_pickle_value *id, size_t at,
                               eq_pickle_value **out);

#endif
