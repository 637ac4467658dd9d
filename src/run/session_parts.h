/* What the parts of a session share: session.c samples and keeps what is done, session_verify.c draws images anew. */
#ifndef EQ_RUN_SESSION_PARTS_H
#define EQ_RUN_SESSION_PARTS_H

#include "run/saved_run.h"
#include "run/session.h"

typedef struct eq_session_state {
    const eq_session *session;
    eq_context *ctx;
    eq_generate_options options; /* with the strength found */
    eq_run_settings settings;
    json_t *identity;
    char *checkpoint_path;
    eq_saved_run begun;        /* what is continued; zeroed where nothing is */
    eq_classifier *classifier; /* the session's verifier, or that of method rejection, then owned */
    bool rejects;
    eq_verifier verifier;
    eq_self_grading self_grading;
    eq_session_result *result;
    bool fresh;    /* whether the folder was begun just now */
    int64_t done;  /* images finished, of the count */
    int64_t unfit; /* of those, images that are to be replaced */
    double start, earlier_seconds, last_checkpoint;
} eq_session_state;

void eq_session_tell(const eq_session_state *r, const char *doing);
/* Borrows all that the state has. */
eq_run_record eq_session_record(const eq_session_state *r);
/* group: what is under way, or NULL */
eq_status eq_session_checkpoint(eq_session_state *r, eq_group *group);
/* Samples n images numbered first_index... into rows from `row` on of `out`. EQ_CANCELLED where it was stopped; the
 * checkpoint then has all of it. */
eq_status eq_session_sample(eq_session_state *r, const eq_targets *targets, int64_t first_index, int64_t n, int64_t row,
                            eq_generation *out);
/* Replaces images until the classifier counts the quota; does nothing where there is none. */
eq_status eq_session_verify(eq_session_state *r);

#endif
