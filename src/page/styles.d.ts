/** Style sheets are bundled, and give nothing to the module that names them. */
declare module "*.css";
/** The text of a file, from `src` on: `raw:train/grpo/grpo.ts`. */
declare module "raw:*" {
  const text: string;
  export default text;
}
