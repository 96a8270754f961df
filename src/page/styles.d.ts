/** Style sheets are bundled, and give nothing to the module that names them. */
declare module "*.css";
