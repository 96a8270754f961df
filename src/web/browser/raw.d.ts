/** Files whose text the build puts in (`raw:` and a path from `src/`). */
declare module "raw:*" {
  const text: string;
  export default text;
}
