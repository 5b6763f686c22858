/** Style sheets are bundled into one file a page; importing one has no value. */
declare module "*.css" {}
