/** What `typed.ts` imports. */
export const LIMIT: number = 5;
