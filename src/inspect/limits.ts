/** Runs that can be compared at once: more lines than that cannot be told apart. */
export const MAX_COMPARED = 6;
