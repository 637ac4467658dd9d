/* Methods that work on prompts instead of h: what they do is in run/wording.c and diffusion/semantic.c. */
#include "guidance/guidance.h"

const eq_method eq_method_prompt_quota = {
    .name = "prompt-quota",
    .summary = "put a word for a class into each image's prompt, dealt out in the target's proportions",
    .text = EQ_TEXT_WORDS,
};

/* Friedrich et al., "Fair Diffusion: Instructing Text-to-Image Generation Models on Fairness", 2023; the strength is
 * theirs. */
const eq_method eq_method_fair_diffusion = {
    .name = "fair-diffusion",
    .summary = "draw each image to a class dealt to it by semantic guidance with the class's words",
    .text = EQ_TEXT_EDIT,
    .default_strength = 4,
};
